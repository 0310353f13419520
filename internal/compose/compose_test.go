package compose

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/policy"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// config has images whose digests are made of their names.
func config() Config {
	return Config{
		VolumeSize: 64 << 20, Variables: map[string]string{"LEVEL": "info"},
		EnvFile: func(name string) ([]byte, error) {
			if name != "shop.env" {
				return nil, errors.New("no such file")
			}
			return []byte("FROM_FILE='a b'\nDATABASE_URL=overruled\n"), nil
		},
		Image: func(_ context.Context, name string) (Image, error) {
			if strings.Contains(name, "missing") {
				return Image{}, errors.New("404 Not Found")
			}
			return Image{Digest: sha256.Sum256([]byte(name)), Entrypoint: []string{"/entry"}, Cmd: []string{"own"}}, nil
		},
	}
}

func convert(t testing.TB, file string, change func(*Config)) (*policy.Policy, string, error) {
	t.Helper()
	cfg := config()
	if change != nil {
		change(&cfg)
	}
	box, left, err := Convert(t.Context(), []byte(file), cfg)
	if err != nil {
		if box != nil || left != nil {
			t.Errorf("a policy and an error: %s", box)
		}
		return nil, "", err
	}
	p, err := policy.Parse(box)
	if err != nil {
		t.Fatalf("%v\n%s", err, box)
	}
	var lines []string
	for _, n := range left {
		lines = append(lines, n.String())
	}
	return p, strings.Join(lines, "\n") + "\n", nil
}

// TestGolden: a whole file, the policy that it becomes and what is left out.
func TestGolden(t *testing.T) {
	file, err := os.ReadFile("testdata/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	onlyWeb := func(c *Config) { c.App = "web" }
	p, left, err := convert(t, string(file), onlyWeb)
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{"testdata/shop.box.yaml": p.Bytes(), "testdata/shop.left.txt": []byte(left)} {
		if *update {
			if err := os.WriteFile(name, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(name); err != nil || !bytes.Equal(want, got) {
			t.Errorf("%s is another one (%v): go test ./internal/compose -update\n%s", name, err, got)
		}
	}
	if len(p.Callers) > 0 || len(p.Egress.Allow) > 0 || p.EgressUnrestricted() || p.Operators != nil {
		t.Errorf("somebody may do something: %s", p.Describe())
	}
	for range 5 {
		if again, text, err := convert(t, string(file), onlyWeb); err != nil || !bytes.Equal(again.Bytes(), p.Bytes()) || text != left {
			t.Fatalf("the same file became something else: %v", err)
		}
	}
}

const web = "services:\n  web:\n    image: ghcr.io/a/web:1\n    ports: [8000]\n"

// TestTaken: what single keys become.
func TestTaken(t *testing.T) {
	for _, c := range []struct {
		name, file string
		change     func(*Config)
		want       func(*policy.Policy) any
		is         any
	}{
		{"name", web, nil, func(p *policy.Policy) any { return p.Name + " " + p.App.Image + " " + p.App.Listen }, "web ghcr.io/a/web:1 127.0.0.1:8000"},
		{"the image's command", web, nil, func(p *policy.Policy) any { return p.App.Command == nil }, true},
		{"command", web + "    command: [a, b]\n", nil, func(p *policy.Policy) any { return fmt.Sprintf("%q", p.App.Command) }, `["/entry" "a" "b"]`},
		{"command in words", web + "    command: a 'b c'\n", nil, func(p *policy.Policy) any { return fmt.Sprintf("%q", p.App.Command) }, `["/entry" "a" "b c"]`},
		{"no command", web + "    command: []\n", nil, func(p *policy.Policy) any { return fmt.Sprintf("%q", p.App.Command) }, `["/entry"]`},
		{"entry point", web + "    entrypoint: [a]\n", nil, func(p *policy.Policy) any { return fmt.Sprintf("%q", p.App.Command) }, `["a"]`},
		{"entry point and command", web + "    entrypoint: [a]\n    command: [b]\n", nil, func(p *policy.Policy) any { return fmt.Sprintf("%q", p.App.Command) }, `["a" "b"]`},
		{"variable", "services: {web: {image: \"ghcr.io/a/web:${T}\", ports: [1]}}\n", func(c *Config) { c.Variables["T"] = "7" }, func(p *policy.Policy) any { return p.App.Image }, "ghcr.io/a/web:7"},
		{"image by hand", web, func(c *Config) { c.Images = map[string]string{"web": "oci:web.oci"} }, func(p *policy.Policy) any { return p.App.Image }, "oci:web.oci"},
		{"short image", "services: {web: {image: redis, ports: [1]}}\n", nil, func(p *policy.Policy) any { return p.App.Image }, "docker.io/library/redis"},
		{"image of somebody", "services: {web: {image: acme/a:2, ports: [1]}}\n", nil, func(p *policy.Policy) any { return p.App.Image }, "docker.io/acme/a:2"},
		{"port by hand", web, func(c *Config) { c.Listen = 9 }, func(p *policy.Policy) any { return p.App.Listen }, "127.0.0.1:9"},
		{"one service alone", "services: {web: {image: ghcr.io/a/b:1, expose: [7]}}\n", nil, func(p *policy.Policy) any { return p.App.Listen }, "127.0.0.1:7"},
		{"user", web + "    user: \"7:8\"\n", nil, func(p *policy.Policy) any { return *p.App.User }, policy.User{UID: 7, GID: 8}},
		{"a name that YAML 1.1 takes for true", web + "  y: {image: ghcr.io/a/b:1}\n", nil, func(p *policy.Policy) any { return p.Services[0].Name }, "y"},
		{"hostile text", web + "    environment: {A: \"x\\n\\\": {y} # <&>\"}\n", nil, func(p *policy.Policy) any { return p.App.Env["A"] }, "x\n\": {y} # <&>"},
		{"aliases", "x-a: &a {image: ghcr.io/a/b:1}\nservices: {web: {<<: [*a, {ports: [1]}], ports: [2]}}\n", nil, func(p *policy.Policy) any { return p.App.Image + p.App.Listen }, "ghcr.io/a/b:1127.0.0.1:2"},
		{"a network of its own", web + "    networks: [x]\nnetworks: {x: null}\n", nil, func(p *policy.Policy) any { return len(p.Services) }, 0},
	} {
		p, _, err := convert(t, c.file, c.change)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got := c.want(p); got != c.is {
			t.Errorf("%s: got %v, expected %v", c.name, got, c.is)
		}
	}
}

// TestOrder: services start before those that need them, otherwise as in the file.
func TestOrder(t *testing.T) {
	file := "services:\n  a: {image: x.io/a, depends_on: [c]}\n  b: {image: x.io/a}\n  web: {image: x.io/a, ports: [1]}\n  c: {image: x.io/a, depends_on: {d: {condition: service_started}}}\n  d: {image: x.io/a}\n"
	p, _, err := convert(t, file, nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range p.Services {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, " "); got != "d c a b" {
		t.Errorf("order %s", got)
	}
}

// TestRefused: what would make something else of a file, with its line.
func TestRefused(t *testing.T) {
	one := func(rest string) string { return web + "    " + rest + "\n" }
	for _, c := range []struct{ file, want string }{
		{one("privileged: true"), "line 5: services.web.privileged: it would give"},
		{one("privileged: false"), "line 5: services.web.privileged"},
		{one("network_mode: host"), "line 5: services.web.network_mode: it would join"},
		{one("pid: host"), "line 5: services.web.pid"},
		{one("ipc: \"service:db\""), "line 5: services.web.ipc"},
		{one("userns_mode: host"), "line 5: services.web.userns_mode"},
		{one("cgroup_parent: /"), "line 5: services.web.cgroup_parent"},
		{one("devices: [/dev/sev-guest]"), "line 5: services.web.devices"},
		{one("gpus: all"), "line 5: services.web.gpus"},
		{one("runtime: runc"), "line 5: services.web.runtime"},
		{one("sysctls: {net.ipv4.ip_forward: 1}"), "line 5: services.web.sysctls"},
		{one("use_api_socket: true"), "line 5: services.web.use_api_socket"},
		{one("group_add: [root]"), "line 5: services.web.group_add"},
		{one("volumes_from: [db]"), "line 5: services.web.volumes_from"},
		{one("links: [db]"), "line 5: services.web.links"},
		{one("extra_hosts: [\"a:1.2.3.4\"]"), "line 5: services.web.extra_hosts: names and addresses"},
		{one("dns: 8.8.8.8"), "line 5: services.web.dns"},
		{one("secrets: [s]"), "line 5: services.web.secrets"},
		{one("configs: [s]"), "line 5: services.web.configs"},
		{one("build: ."), "line 5: services.web.build: a box runs finished images"},
		{one("extends: {file: /etc/passwd, service: a}"), "line 5: services.web.extends"},
		{one("profiles: [debug]"), "line 5: services.web.profiles"},
		{one("post_start: [{command: a}]"), "line 5: services.web.post_start"},
		{one("provider: {type: a}"), "line 5: services.web.provider"},
		{one("deploy: {resources: {limits: {devices: [{capabilities: [gpu]}]}}}"), "line 5: services.web.deploy.resources.limits.devices"},
		{one("deploy: {replicas: 2}"), "services.web.scale: 2 of it"},
		{one("scale: 2"), "line 5: services.web.scale: 2 of it"},
		{one("unheard_of: 1"), "line 5: services.web.unheard_of: not known here"},
		{one("deploy: {unheard_of: 1}"), "line 5: services.web.deploy.unheard_of: not known here"},
		{one("ulimits: {memlock: -1}"), "line 5: services.web.ulimits.memlock: not known here"},
		{one("depends_on: {db: {unheard_of: 1}}"), "line 5: services.web.depends_on.db.unheard_of"},
		{one("volumes: [{type: volume, target: /a, volume: {unheard_of: 1}}]"), "line 5: services.web.volumes[0].volume.unheard_of"},
		{one("volumes: [/etc/passwd:/etc/passwd]"), "line 5: services.web.volumes[0]: /etc/passwd of this machine"},
		{one("volumes: [./data:/data]"), "line 5: services.web.volumes[0]: ./data of this machine"},
		{one("volumes: [~/.ssh:/data]"), "of this machine"},
		{one("volumes: [{type: bind, source: /, target: /host}]"), "line 5: services.web.volumes[0]: / of this machine"},
		{one("volumes: [{type: npipe, source: a, target: /host}]"), "line 5: services.web.volumes[0]: a mount of the type"},
		{one("volumes: [{type: image, source: a, target: /host}]"), "line 5: services.web.volumes[0]: a mount of the type"},
		{one("volumes: [{type: volume, source: v, target: /a, volume: {subpath: x}}]") + "volumes: {v: {}}\n", "subpath"},
		{one("volumes: [\"vol:/a:ro\"]") + "volumes: {vol: {}}\n", "line 5: services.web.volumes[0]: read-only, and it would be empty"},
		{one("volumes: [/proc]"), "line 5: services.web.volumes[0]: /proc is what the kernel shows"},
		{one("volumes: [/sys/fs/cgroup]"), "/sys/fs/cgroup is what the kernel shows"},
		{one("volumes: [a]"), "expected an absolute path"},
		{one("volumes: [/]"), "services.web.volumes[0]: \"/\", expected an absolute path"},
		{one("tmpfs: [\"/a\", \"/a:size=1m\"]"), "/a already mounted"},
		{one("tmpfs: /a\n    volumes: [/a]"), "/a already mounted"},
		{one("environment: {A: \"\\u2028\"}"), "app.env.A"},
		{one("tmpfs: [/dev/shm]"), "line 5: services.web.tmpfs[0]: /dev/shm is what the kernel shows"},
		{one("tmpfs: [\"/a:size=much\"]"), "line 5: services.web.tmpfs[0]: the size \"much\""},
		{one("cap_add: [SYS_ADMIN]"), "line 5: services.web.cap_add[0]: \"SYS_ADMIN\" reaches further"},
		{one("cap_add: [ALL]"), "services.web.cap_add[0]: \"ALL\" reaches further"},
		{one("security_opt: [\"seccomp:unconfined\"]"), "line 5: services.web.security_opt[0]: \"seccomp:unconfined\""},
		{one("security_opt: [\"no-new-privileges:false\"]"), "services.web.security_opt[0]"},
		{one("shm_size: 1g"), "line 5: services.web.shm_size: a service has 64MiB"},
		{one("user: app"), "line 5: services.web.user: \"app\": write two numbers"},
		{one("user: \"0x0:0\""), "services.web.user"},
		{one("user: \"-1:0\""), "services.web.user"},
		{one("env_file: other.env"), "line 5: services.web.env_file"},
		{one("env_file: [{path: shop.env, format: raw}]"), "the format \"raw\""},
		{one("environment: [SECRET_OF_THIS_MACHINE]"), "line 5: services.web.environment: SECRET_OF_THIS_MACHINE has no value"},
		{one("environment: {\"a b\": c}"), "the name \"a b\""},
		{one("working_dir: ${HOME}"), "${HOME}: the variable has no value"},
		{one("networks: {x: {aliases: [y]}}") + "networks: {x: {}}\n", "line 5: services.web.networks.x: a service has its own name"},
		{one("networks: {x: {ipv4_address: 10.0.0.1}}") + "networks: {x: {}}\n", "services.web.networks.x"},
		{one("depends_on: {web2: {condition: service_completed_successfully}}") + "  web2: {image: x.io/a}\n", "line 5: services.web.depends_on.web2: service_completed_successfully: a box has no service that ends"},
		{one("depends_on: [none]"), "none"},
		{one("depends_on: {db: {condition: service_healthy}}") + "  db: {image: x.io/a}\n", "line 5: services.web.depends_on.db: nobody can know when it is ready"},
		{web + "  db: {image: x.io/a, depends_on: [web]}\n", "line 5: services.db.depends_on: web answers requests and starts last"},
		{web + "  a: {image: x.io/a, depends_on: [b]}\n  b: {image: x.io/a, depends_on: [a]}\n", "cycle"},
		{web + "  db: {image: x.io/a, ports: [1]}\n", "web and db have ports: say with --app"},
		{web + "  DB: {image: x.io/a}\n", "line 5: services.DB: the name \"DB\" is no host name"},
		{web + "  a.privileged: {image: x.io/a}\n", "services.a.privileged: the name"},
		{web + "  app: {image: x.io/a}\n", "line 5: services.app: the name is that of the app"},
		{web + "  localhost: {image: x.io/a}\n", "line 5: services.localhost: the name is that of the app, or of the machine"},
		{"services:\n  a: {image: x.io/a}\n  b: {image: x.io/a}\n", "no service has ports"},
		{"services:\n  a: {image: x.io/a}\n", "the file does not say at which port"},
		{"services:\n  a: {image: x.io/a, ports: [1, 2]}\n", "line 2: services.a.ports: several ports"},
		{"services:\n  a: {image: x.io/a, ports: [\"1/udp\", 2]}\n", "line 2: services.a.ports[0]: udp"},
		{"services:\n  a: {image: x.io/a, ports: [1], expose: [\"5-9\"]}\n", "services.a.expose[0]"},
		{"services:\n  a: {ports: [1]}\n", "a"},
		{"services:\n  a: {image: x.io/missing, ports: [1]}\n", "line 2: services.a.image: 404 Not Found"},
		{web + "secrets: {s: {file: /etc/shadow}}\n", "line 5: secrets: a file of the host"},
		{web + "configs: {s: {file: /etc/shadow}}\n", "line 5: configs: a file of the host"},
		{web + "include: [/etc/passwd]\n", "line 5: include: another file"},
		{web + "volumes: {v: {external: true}}\n", "line 5: volumes.v.external: nothing outside"},
		{web + "volumes: {v: {driver_opts: {type: none, device: /, o: bind}}}\n", "line 5: volumes.v.driver_opts"},
		{web + "networks: {v: {external: true}}\n", "line 5: networks.v.external"},
		{web + "unheard_of: {}\n", "line 5: unheard_of: not known here"},
		{web + "    volumes: [\"vol:/a\"]\n  db: {image: x.io/a, volumes: [\"vol:/b\"]}\nvolumes: {vol: {}}\n", "line 6: services.db.volumes[0]: vol is the volume of web too"},
		{"x-a: &a {privileged: true}\nservices: {web: {<<: *a, image: x.io/a, ports: [1]}}\n", "services.web.privileged: it would give"},
		{"x-a: &a {? " + strings.Repeat("k", 10000) + " : 1}\nx-b: [" + strings.Repeat("*a,", 2000) + "]\n", "names of more than 16777216 bytes"},
		// A service and a volume whose names begin as an extension does are none.
		{"services:\n  web: {image: x.io/a, ports: [1]}\n  x-b: {privileged: true, image: x.io/a}\n", "line 3: services.x-b.privileged: it would give"},
		{"services: {web: {image: x.io/a, ports: [1], volumes: ['x-d:/d']}}\nvolumes: {x-d: {external: true}}\n", "volumes.x-d.external: nothing outside the box"},
		{"services:\n  a: {x-b: {}, image: x.io/a, ports: [1]}\n  a.x-b: {privileged: true, image: x.io/a}\n", "line 3: services.a.x-b.privileged: it would give"},
		{"", "EOF"},
		{"[]", "no mapping"},
		{"a: [", "did not find"},
		{"services: {}\n", "no services"},
		{"services: 7\n", "services"},
		{"services: {a: 7}\n", "services.a"},
		{"services: {a: {image: [x], ports: [1]}}\n", "services.a.image"},
		{web + "---\nservices: {b: {privileged: true}}\n", "several documents"},
		{web + "---\n", "several documents"},
		{"services: {a: {image: x.io/a, image: x.io/b, ports: [1]}}\n", "a second time"},
		{"services: {a: !reset {image: x.io/a}}\n", "the tag"},
		{"services: {a: {image: !!binary aGk=}}\n", "the tag"},
		{"services: {? [a] : {image: x}}\n", "no word"},
		{"services: {a: {<<: 7, image: x.io/a}}\n", "<<"},
		{"a: &a [*a]\n", "a"},
		{bomb(), "more than 20000 values"},
		{strings.Repeat("[", 100) + strings.Repeat("]", 100), "levels"},
		{strings.Repeat(" ", MaxSize+1), "limit"},
		{web + "    mem_limit: 2000g\n", "memory"},
		{many(), "17 services beside the app, at most 16"},
	} {
		_, _, err := convert(t, c.file, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v\nexpected %s in\n%.300s", err, c.want, c.file)
		}
	}
	if _, _, err := convert(t, web, func(c *Config) { c.App = "none" }); err == nil || !strings.Contains(err.Error(), `no service "none"`) {
		t.Errorf("an app that is not there: %v", err)
	}
	if _, _, err := convert(t, one("env_file: shop.env"), func(c *Config) { c.EnvFile = nil }); err == nil {
		t.Error("a file is read that nobody hands out")
	}
	secret := func(c *Config) {
		c.EnvFile = func(string) ([]byte, error) { return []byte("root:x:0:\nTOP SECRET LINE"), nil }
	}
	if _, _, err := convert(t, one("env_file: a"), secret); err == nil || strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "root") {
		t.Errorf("what a file of another kind holds is told: %v", err)
	}
}

func bomb() string {
	text := "a: &a [1,1,1,1,1,1,1,1,1]\n"
	for c := 'b'; c < 'k'; c++ {
		text += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat("*"+string(c-1)+",", 9), ","))
	}
	return text
}

func many() string {
	text := web
	for i := range 17 {
		text += fmt.Sprintf("  s%d: {image: x.io/a}\n", i)
	}
	return text
}

// TestLeft: nothing is left out without a word.
func TestLeft(t *testing.T) {
	for rest, want := range map[string]string{
		"restart: always":                        "line 5: services.web.restart: a service that ends",
		"healthcheck: {test: a}":                 "line 5: services.web.healthcheck",
		"logging: {driver: syslog}":              "line 5: services.web.logging",
		"labels: [a=b]":                          "line 5: services.web.labels",
		"container_name: ab":                     "line 5: services.web.container_name",
		"hostname: a":                            "line 5: services.web.hostname",
		"x-mine: 1":                              "line 5: services.web.x-mine: an extension",
		"memswap_limit: 1g":                      "line 5: services.web.memswap_limit",
		"pids_limit: -1":                         "line 5: services.web.pids_limit: no service is without",
		"platform: linux/amd64":                  "line 5: services.web.platform",
		"user: \"5\"":                            "line 5: services.web.user: the group is not said; it is 5",
		"user: root":                             "line 5: services.web.user: the file makes it root",
		"tmpfs: [\"/a:mode=700\"]":               "line 5: services.web.tmpfs[0]: mode=700",
		"tmpfs: \"/a:exec\"":                     "line 5: services.web.tmpfs: exec",
		"volumes: [/a]":                          "line 5: services.web.volumes[0]: /a is memory of the box",
		"environment: {DB_PASSWORD: x}":          "line 5: services.web.environment: DB_PASSWORD looks like a secret",
		"shm_size: 1m":                           "line 5: services.web.shm_size: it is 64MiB",
		"env_file: [{path: x, required: false}]": "line 5: services.web.env_file[0]: \"x\" cannot be read, and need not be",
		"deploy: {mode: global}":                 "line 5: services.web.deploy.mode",
		"stop_signal: SIGINT":                    "line 5: services.web.stop_signal",
		"image2: a":                              "",
	} {
		_, left, err := convert(t, web+"    "+rest+"\n", nil)
		switch {
		case want == "":
			if err == nil {
				t.Errorf("%s is taken for something", rest)
			}
		case err != nil || !strings.Contains(left, want):
			t.Errorf("%s: %v\ngot %sexpected %s", rest, err, left, want)
		}
	}
	_, left, err := convert(t, web+"  db: {image: x.io/a, ports: [5432]}\nnetworks: {a: {}, b: {ipam: {}}}\nx-y: 1\n", func(c *Config) { c.App = "web" })
	for _, want := range []string{"line 5: services.db.ports: nobody outside", "networks: a box has one network", "line 6: networks.b.ipam", "line 7: x-y: an extension", "callers: nobody may call", "egress: nothing"} {
		if err != nil || !strings.Contains(left, want) {
			t.Errorf("%v, %sexpected %s", err, left, want)
		}
	}
	if lines := strings.Split(left, "\n"); !slices.ContainsFunc(lines, func(l string) bool {
		return strings.HasPrefix(l, "line 3: services.web") || strings.HasPrefix(l, "line 2: services.web: its image is read-only")
	}) {
		t.Errorf("not said that the image is read-only: %s", left)
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{"1KiB": 1 << 10, "64MiB": 64 << 20, "2GiB": 2 << 30, "0MiB": 0, "-1MiB": 0, "1MB": 0, "MiB": 0, "": 0, "1": 0, "1.5MiB": 0, "99999999GiB": 0} {
		if got, ok := ParseSize(s); got != want || ok != (want != 0) {
			t.Errorf("%q: %d, %t", s, got, ok)
		}
	}
}

// FuzzConvert: whatever a file holds, there is a policy or an error, and no file of
// this machine is opened on the way.
func FuzzConvert(f *testing.F) {
	shop, err := os.ReadFile("testdata/shop.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(shop))
	f.Add(web)
	f.Add("services: {a: {<<: {image: x}, ports: [1]}}")
	f.Fuzz(func(t *testing.T, file string) {
		p, _, err := convert(t, file, nil)
		if err == nil && (p.App == nil || len(p.Callers) > 0 || len(p.Egress.Allow) > 0) {
			t.Errorf("became %s", p.Describe())
		}
	})
}
