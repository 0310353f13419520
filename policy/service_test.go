package policy

import (
	"crypto/sha256"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// composed has every key of a service.
var composed = `name: shop.front_1
app: {image: oci:shop.oci, digest: ` + hash("shop") + `, listen: 8000}
services:
  - name: db
    image: ghcr.io/acme/db:1
    digest: ` + hash("db") + `
    command: [serve, --quiet]
    env: {LANG: C.UTF-8}
    dir: /srv
    listen: 5432
    user: 1000:1001
    capabilities: [CAP_CHOWN]
    files: {tmp: 1MiB, writable: [{path: /var/lib/db, size: 2MiB}]}
    limits: {memory: 512MiB, pids: 7, cpu: 0.5, open_files: 99}
  - {name: worker-2, image: oci:worker.oci, digest: ` + hash("worker") + `}
`

func TestParseServices(t *testing.T) {
	want := []Service{
		{
			Name: "db", Image: "ghcr.io/acme/db:1", Digest: sha256.Sum256([]byte("db")), Command: []string{"serve", "--quiet"},
			Env: map[string]string{"LANG": "C.UTF-8"}, Dir: "/srv", Listen: 5432, User: &User{1000, 1001}, Capabilities: []string{"CAP_CHOWN"},
			Files:  Files{Tmp: 1 << 20, Writable: []Writable{{Path: "/var/lib/db", Size: 2 << 20, Line: 13}}},
			Memory: 512 << 20, PIDs: 7, OpenFiles: 99, CPU: 500, Line: 4,
		},
		{Name: "worker-2", Image: "oci:worker.oci", Digest: sha256.Sum256([]byte("worker")), Memory: DefaultMemory, PIDs: DefaultPIDs, OpenFiles: DefaultOpenFiles, Line: 15},
	}
	p := parse(t, composed)
	if !reflect.DeepEqual(p.Services, want) {
		t.Errorf("got  %+v\nwant %+v", p.Services, want)
	}
	if p.HostName() != "shop-front-1" || (&Policy{Name: strings.Repeat("a", 64)}).HostName() != strings.Repeat("a", 63) {
		t.Errorf("the host name is %q", p.HostName())
	}
	if d := p.Demands(); !slices.Contains(d, Demand{"services", 4}) {
		t.Errorf("demanded is %v", d)
	}
	if !strings.Contains(p.Summary(), "2 services beside the app") {
		t.Errorf("the summary is %s", p.Summary())
	}
	golden(t, "testdata/services.txt", []byte(p.Describe()))
}

func TestParseServicesRefuses(t *testing.T) {
	one := func(rest string) string {
		return image + "services: [{name: db, image: oci:db.oci, digest: " + hash("db") + rest + "}]\n"
	}
	for _, c := range []struct{ name, doc, want string }{
		{"no image of the app", head + strings.SplitAfterN(one(""), "\n", 3)[2], "3:12: services: beside an app without an image there is no network for them, expected app.image, or no services"},
		{"models", models + strings.SplitAfterN(one(""), "\n", 3)[2], "beside an app without an image"},
		{"nothing", image + "services: [{}]\n", "3:12"},
		{"no digest", image + "services: [{name: db, image: oci:a.oci}]\n", "3:12: services[0].digest: missing"},
		{"digest of nothing", image + "services: [{name: db, image: oci:a.oci, digest: sha256:" + strings.Repeat("0", 64) + "}]\n", "services[0].digest: seen the digest of nothing, expected that of something"},
		{"no image", image + "services: [{name: db, digest: " + hash("db") + "}]\n", "3:12: services[0].image: missing"},
		{"no name", image + "services: [{image: oci:a.oci, digest: " + hash("db") + "}]\n", "3:12: services[0].name: missing"},
		{"capital name", strings.Replace(one(""), "name: db", "name: Db", 1), "services[0].name: seen \"Db\""},
		{"dotted name", strings.Replace(one(""), "name: db", "name: db.local", 1), "services[0].name: seen \"db.local\""},
		{"dash at the end", strings.Replace(one(""), "name: db", "name: db-", 1), "services[0].name: seen \"db-\""},
		{"long name", strings.Replace(one(""), "name: db", "name: "+strings.Repeat("a", 64), 1), "services[0].name: seen"},
		{"the app's name", strings.Replace(one(""), "name: db", "name: app", 1), "services[0].name: seen \"app\", expected another name than the app's"},
		{"the box's name", strings.Replace(one(""), "name: db", "name: a", 1), "services[0].name: seen \"a\", expected another name than the app's"},
		{"localhost", strings.Replace(one(""), "name: db", "name: localhost", 1), "services[0].name: seen \"localhost\""},
		{"a name twice", image + "services:\n  - {name: db, image: oci:a.oci, digest: " + hash("db") + "}\n  - {name: db, image: oci:a.oci, digest: " + hash("db") + "}\n", "5:12: services[1].name: the same service as at 4:12"},
		{"empty program", one(`, command: [""]`), "services[0].command[0]: seen \"\", expected a program"},
		{"relative folder", one(", dir: a"), "services[0].dir: seen \"a\""},
		{"folder with dots", one(", dir: /a/.."), "services[0].dir: seen \"/a/..\""},
		{"port 0", one(", listen: 0"), "services[0].listen: seen 0"},
		{"an address to listen at", one(`, listen: "127.0.0.1:1"`), "services[0].listen"},
		{"user in words", one(", user: root"), "services[0].user: seen \"root\""},
		{"large user", one(`, user: "4294967295:1"`), "services[0].user: seen \"4294967295:1\", expected ids below 2147483648"},
		{"capability", one(", capabilities: [CAP_ALL]"), "services[0].capabilities[0]: seen \"CAP_ALL\""},
		{"writable /proc", one(", files: {writable: [{path: /proc/a, size: 1B}]}"), "services[0].files.writable[0].path: seen \"/proc/a\""},
		{"writable twice", one(", files: {tmp: 1B, writable: [{path: /tmp, size: 1B}]}"), "services[0].files.writable[0].path: the same place as at"},
		{"size", one(", files: {tmp: 1025GiB}"), "services[0].files.tmp: seen \"1025GiB\""},
		{"memory", one(", limits: {memory: 1MB}"), "services[0].limits.memory: seen \"1MB\""},
		{"no processor", one(", limits: {cpu: 0}"), "services[0].limits.cpu: seen \"0\", expected more than none"},
		{"a limit of requests", one(", limits: {concurrent: 1}"), "services[0].limits: unknown key \"concurrent\""},
		{"egress of its own", one(", egress: none"), "services[0]: unknown key \"egress\""},
		{"privileged", one(", privileged: true"), "services[0]: unknown key \"privileged\""},
	} {
		if _, err := Parse([]byte(c.doc)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\ngot  %v\nwant %s", c.name, err, c.want)
		}
	}
	many := func(n int) string {
		doc := image + "services:\n"
		for i := range n {
			doc += fmt.Sprintf("  - {name: s%d, image: oci:a.oci, digest: %s}\n", i, hash("s"))
		}
		return doc
	}
	if p := parse(t, many(MaxServices)); len(p.Services) != MaxServices {
		t.Errorf("%d services", len(p.Services))
	}
	if _, err := Parse([]byte(many(MaxServices + 1))); err == nil || !strings.Contains(err.Error(), "20:5: services: seen 17, expected at most 16") {
		t.Errorf("too many services: %v", err)
	}
}

func TestDiffServices(t *testing.T) {
	db := func(rest string) string {
		return image + "services:\n  - {name: db, image: oci:db.oci, digest: " + hash("db") + rest + "}\n"
	}
	sum := strings.TrimPrefix(hash("db"), "sha256:")
	two := func(a, b string) string {
		return image + "services:\n  - {name: " + a + ", image: oci:a.oci, digest: " + hash("a") + "}\n  - {name: " + b + ", image: oci:a.oci, digest: " + hash("a") + "}\n"
	}
	for _, c := range []struct{ name, a, b, want string }{
		{"nothing", composed, composed, ""},
		{"came", image, db(""), "+ services 0:4 the service db runs, the image sha256:" + sum},
		{"went", db(""), image, "- services 4:0 the service db runs no longer"},
		{"another image", db(""), strings.Replace(db(""), hash("db"), hash("other"), 1), "* services 4:4 the service db is another image, " + hash("other") + " instead of " + hash("db")},
		{"image from elsewhere", db(""), strings.Replace(db(""), "oci:db", "oci:x", 1), "= services 4:4 the service db is the same image and comes from oci:x.oci instead of oci:db.oci"},
		{"command", db(""), db(", command: [a]"), "* services 4:4 the service db has another command, which cannot be compared"},
		{"environment", db(", env: {A: b}"), db(", env: {A: c}"), "* services 4:4 the service db has another environment, which cannot be compared"},
		{"directory", db(""), db(", dir: /a"), "* services 4:4 the service db has another directory, which cannot be compared"},
		{"port", db(", listen: 1"), db(", listen: 2"), "* services 4:4 the service db has another port, which cannot be compared"},
		{"user", db(""), db(", user: \"0:5\""), "+ services 4:4 the service db runs as user 0:5 instead of the image's user"},
		{"user no longer root", db(", user: \"0:5\""), db(", user: \"1:5\""), "- services 4:4 the service db runs as user 1:5 instead of user 0:5"},
		{"capabilities", db(", capabilities: [CAP_CHOWN]"), db(", capabilities: [CAP_KILL]"), "+ services 4:4 the service db has the Linux capability CAP_KILL\n- services 4:4 the service db has the Linux capability CAP_CHOWN no longer"},
		{"limits up", db(", limits: {memory: 1MiB, pids: 1, cpu: 1, open_files: 16}"), db(", limits: {memory: 2MiB, pids: 2, open_files: 17}"),
			"+ services 4:4 the service db has memory: 2 MiB instead of 1 MiB\n+ services 4:4 the service db has pids: 2 instead of 1\n+ services 4:4 the service db has cpu: without bound instead of 1\n+ services 4:4 the service db has open_files: 17 instead of 16"},
		{"cpu down", db(""), db(", limits: {cpu: 0.5}"), "- services 4:4 the service db has cpu: 0.5 instead of without bound"},
		{"files", db(", files: {tmp: 1MiB, writable: [{path: /a, size: 1MiB}, {path: /b, size: 1MiB}]}"), db(", files: {writable: [{path: /b, size: 2MiB}, {path: /c, size: 1MiB}]}"),
			"- services 4:4 the service db has /tmp: 0 B instead of 1 MiB\n+ services 4:4 the service db has /b: 2 MiB instead of 1 MiB\n+ services 4:4 the service db has /c: 1 MiB instead of 0 B\n- services 4:4 the service db may write to /a no longer"},
		{"order", two("s1", "s2"), two("s2", "s1"), "* services 4:4 the services start in the order s2 and s1 instead of s1 and s2"},
	} {
		if got := diffLines(t, c.a, c.b); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}

// TestRequireServices: what is accepted of code is asked of every service.
func TestRequireServices(t *testing.T) {
	doc := image + "services:\n  - {name: db, image: oci:db.oci, digest: " + hash("db") + "}\n  - {name: cache, image: oci:c.oci, digest: " + hash("cache") + "}\n"
	app := parse(t, image).App.Digest
	db, cache := sha256.Sum256([]byte("db")), sha256.Sum256([]byte("cache"))
	changed := strings.Replace(doc, "name: db,", "name: db, command: [a], env: {A: b}, dir: /a, user: \"1:1\", capabilities: [CAP_KILL],", 1)
	all := [][32]byte{app, db, cache}
	for _, c := range []struct {
		name, doc string
		r         Require
		want      string
	}{
		{"nothing asked", changed, Require{}, ""},
		{"all", doc, Require{Images: all}, ""},
		{"the app alone", doc, Require{Images: [][32]byte{app}}, "images: line 4: the service db, oci:db.oci " + hash("db") + ", expected only sha256:" + fmt.Sprintf("%x", app) +
			"\nimages: line 5: the service cache, oci:c.oci " + hash("cache") + ", expected only sha256:" + fmt.Sprintf("%x", app)},
		{"changed", changed, Require{Images: all}, "images: line 4: the command [\"a\"], expected the image's own\nimages: line 4: the variable A=\"b\", expected the image's own\n" +
			"images: line 4: the directory \"/a\", expected the image's own\nimages: line 4: the user 1:1, expected the image's own\nimages: line 4: capabilities CAP_KILL, expected none"},
		{"accepted", strings.Replace(doc, "name: db,", "name: db, command: [a], env: {A: b},", 1), Require{Images: all, Services: map[string][]string{"db": {"a"}}, Env: map[string]string{"A": "b"}}, ""},
		{"the app's command", strings.Replace(doc, "name: db,", "name: db, command: [a],", 1), Require{Images: all, Command: []string{"a"}, Services: map[string][]string{"cache": {"a"}, "db": {"b"}}}, "images: line 4: the command [\"a\"], expected the image's own, or [\"b\"]"},
	} {
		if got := said(c.r.Check(parse(t, c.doc))); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
	if got := said((&Require{Models: [][32]byte{db}}).Check(parse(t, doc))); strings.Count(got, "images: ") != 3 {
		t.Errorf("models asked for: %s", got)
	}
}
