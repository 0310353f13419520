package policy

import (
	"fmt"
	"strings"
	"testing"
)

// line writes a change for comparison: + widens, - narrows, * both, = neither.
func line(c Change) string {
	mark := map[[2]bool]string{{true, false}: "+", {false, true}: "-", {true, true}: "*", {}: "="}[[2]bool{c.Widens, c.Narrows}]
	return fmt.Sprintf("%s %s %d:%d %s", mark, c.Section, c.Before, c.After, c.Text)
}

func diffLines(t *testing.T, a, b string) string {
	t.Helper()
	var out []string
	for _, c := range Diff(parse(t, a), parse(t, b)) {
		out = append(out, line(c))
	}
	return strings.Join(out, "\n")
}

func TestDiff(t *testing.T) {
	key, other := hash(keyA), hash(keyB)
	caller := func(rest string) string { return head + "callers: [{name: ci, api_key: " + key + ", " + rest + "}]\n" }
	img := func(rest string) string { return strings.Replace(image, "listen: 80", "listen: 80"+rest, 1) }
	oncall := func(list string) string { return head + "operators: [" + list + "]\n" }
	many := func(lines ...string) string { return head + "callers:\n  - " + strings.Join(lines, "\n  - ") + "\n" }
	all := "{name: all, certificate: {ca: " + hash("ca") + "}, may: [query]}"
	bob, eve := "{name: bob, certificate: {ca: "+hash("ca")+", subject: bob}, may: [observe]}", "{name: eve, certificate: {ca: "+hash("ca")+", subject: eve}, may: [observe]}"
	id := "{name: id, certificate: {ca: " + hash("ca") + ", spiffe: \"spiffe://a.example/bob\"}, may: [observe]}"
	elsewhere := "{name: else, certificate: {ca: " + hash("other ca") + ", subject: bob}, may: [observe]}"
	token := `{name: token, oidc: "https://a.example", audience: b, may: [query]}`
	team, role := `{name: team, oidc: "https://a.example", audience: b, claim: {team: x}, may: [observe]}`, `{name: role, oidc: "https://a.example", audience: b, claim: {role: z}, may: [query]}`
	rules := func(lines ...string) string {
		return caller("may: [query]") + "cedar: |\n  " + strings.Join(lines, "\n  ") + "\n"
	}
	const forbids, permits = `forbid(principal, action, resource) when { context.path == "/b" };`, `permit(principal == Caller::"ci", action, resource);`
	const cedarChanged = "+ cedar 4:4 the Cedar rules changed, and cannot be compared: try `blindbox policy test`"
	to := func(rest string) string { return head + "egress: {allow: [" + rest + "]}\n" }
	for _, c := range []struct{ name, a, b, want string }{
		{"nothing", whole, whole, ""},
		{"a comment", whole, "# x\n" + whole, ""},
		{"name", head, strings.Replace(head, "name: a", "name: b", 1), "= name 1:1 the box is called b instead of a"},

		{"batch", "name: a\nmodels:\n  - {name: m, builtin: m}\n", "name: a\nmodels:\n  - {name: m, builtin: m, batch: {rows: 8}}\n", "* models 3:3 the model m has runs of up to 8 rows instead of one request a run"},
		{"store", models, models + "store: {memory: 1GiB}\n", "+ store 0:5 callers may bring models"},
		{"no store", models + "store: {memory: 1GiB}\n", models, "- store 5:0 callers may bring models no longer"},
		{"more store", smallStore, smallStore[:len(smallStore)-2] + ", disk: 1GiB, owner: {models: 5}, load: {time: 3m}}\n", "+ store 0:2 store.disk: 1 GiB instead of 0 B\n+ store 0:0 store.owner.bytes: 4 MiB instead of 2 MiB\n- store 0:2 store.owner.models: 5 instead of 100\n+ store 0:2 store.load.time: 3m0s instead of 2m0s"},
		{"new caller", head, caller("may: [query], paths: [/a]"), "+ callers 0:3 ci may query, on /a"},
		{"caller gone", caller("may: [query]"), head, "- callers 3:0 ci may call no longer"},
		{"another key", caller("may: [query]"), strings.Replace(caller("may: [query]"), key, other, 1), "+ callers 0:3 ci may query, on every path\n- callers 3:0 ci may call no longer"},
		{"renamed", caller("may: [query]"), strings.Replace(caller("may: [query]"), "name: ci", "name: root", 1), "* callers 3:3 root is the new name of ci, to the app and in Cedar"},
		{"more actions", caller("may: [query]"), caller("may: [query, list]"), "+ callers 3:3 ci may list"},
		{"fewer actions", caller("may: [query, list]"), caller("may: [query]"), "- callers 3:3 ci may list no longer"},
		{"observer gets more", caller("may: [observe]"), caller("may: [observe, query], paths: [/a], methods: [GET]"), "+ callers 3:3 ci may query"},
		{"only observes", caller("may: [observe, query], paths: [/a], methods: [GET]"), caller("may: [observe]"), "- callers 3:3 ci may query no longer"},
		{"method came", caller("may: [query], methods: [GET]"), caller("may: [query], methods: [GET, POST]"), "+ callers 3:3 ci may use the method POST"},
		{"method went", caller("may: [query], methods: [GET, POST]"), caller("may: [query], methods: [GET]"), "- callers 3:3 ci may use the method POST no longer"},
		{"all methods", caller("may: [query], methods: [GET]"), caller("may: [query]"), "+ callers 3:3 ci may use the method any"},
		{"methods limited", caller("may: [query]"), caller("may: [query], methods: [GET]"), "- callers 3:3 ci may use the method any no longer"},
		{"a model came", caller("may: [query], models: [a]"), caller("may: [query], models: [a, b]"), "+ callers 3:3 ci may use the model b"},
		{"paths under a prefix", caller("may: [query], paths: [/a/*]"), caller("may: [query], paths: [/a/b, /a/c/*]"), "- callers 3:3 ci may use the path /a/* no longer"},
		{"a prefix over paths", caller("may: [query], paths: [/a/b]"), caller("may: [query], paths: [/a/*]"), "+ callers 3:3 ci may use the path /a/*"},
		{"a prefix is not its parent", caller("may: [query], paths: [/a/*]"), caller("may: [query], paths: [/a]"), "+ callers 3:3 ci may use the path /a\n- callers 3:3 ci may use the path /a/* no longer"},
		{"everything written out", caller("may: [query]"), caller("may: [query], paths: [/*]"), ""},
		{"rate came", caller("may: [query]"), caller("may: [query], rate: 60/min"), "- callers 3:3 ci: 60 requests per minute instead of without bound"},
		{"rate went", caller("may: [query], rate: 60/min"), caller("may: [query]"), "+ callers 3:3 ci: without bound instead of 60 requests per minute"},
		{"rate up", caller("may: [query], rate: 60/min"), caller("may: [query], rate: 61/min"), "+ callers 3:3 ci: 61 requests per minute instead of 60 requests per minute"},
		{"rate down", caller("may: [query], rate: 60/min"), caller("may: [query], rate: 59/min"), "- callers 3:3 ci: 59 requests per minute instead of 60 requests per minute"},
		{"rate otherwise", caller("may: [query], rate: 60/min"), caller("may: [query], rate: 1/s"), "* callers 3:3 ci: 1 request per second instead of 60 requests per minute"},
		{"quota", caller("may: [query], quota: {requests: 5/h}"), caller("may: [query], quota: {bytes: 1MiB/day}"), "+ callers 3:3 ci over a long time: without bound instead of 5 requests per hour\n- callers 3:3 ci over a long time: 1 MiB per day instead of without bound"},
		{"expires", caller("may: [query]"), caller("may: [query], expires: 2027-01-01T00:00:00Z"), "- callers 3:3 ci expires 2027-01-01T00:00:00Z instead of never"},
		{"expires never", caller("may: [query], expires: 2027-01-01T00:00:00Z"), caller("may: [query]"), "+ callers 3:3 ci expires never instead of 2027-01-01T00:00:00Z"},
		{"expires later", caller("may: [query], expires: 2027-01-01T00:00:00Z"), caller("may: [query], expires: 2027-01-01T00:00:01Z"), "+ callers 3:3 ci expires 2027-01-01T00:00:01Z instead of 2027-01-01T00:00:00Z"},
		{"expires earlier", caller("may: [query], expires: 2027-01-01T00:00:01Z"), caller("may: [query], expires: 2027-01-01T00:00:00Z"), "- callers 3:3 ci expires 2027-01-01T00:00:00Z instead of 2027-01-01T00:00:01Z"},
		{"bob is everybody now", many(all, bob), many(all), "- callers 5:0 bob may call no longer\n+ callers 5:4 who was bob can be all"},
		{"bob was everybody", many(all), many(all, bob), "+ callers 0:5 bob may observe\n- callers 4:5 who is bob is all no longer"},
		{"bob has an id", many(all, bob, id), many(all, id), "- callers 5:0 bob may call no longer\n+ callers 5:4 who was bob can be all"},
		{"bob was found by his id", many(id, bob), many(bob), "- callers 4:0 id may call no longer\n+ callers 4:4 who was id can be bob"},
		{"bob of another authority", many(all, elsewhere), many(all), "- callers 5:0 else may call no longer"},
		{"bob is not eve", many(bob, eve), many(bob), "- callers 5:0 eve may call no longer"},
		{"whoever bob is not", many(all, bob), many(bob), "- callers 4:0 all may call no longer"},
		{"the order of certificates", many(all, bob), many(bob, all), ""},
		{"a token with a claim", many(token, team), many(token), "- callers 5:0 team may call no longer\n+ callers 5:4 who was team can be token"},
		{"tokens of two claims", many(team, role), many(role, team), "* callers 4:4 who is team and role is now the latter"},
		{"tokens of two values", many(team, `{name: x, oidc: "https://a.example", audience: b, claim: {team: z}, may: [observe]}`), many(team), "- callers 5:0 x may call no longer"},
		{"tokens of two issuers", many(token, strings.Replace(team, "a.example", "b.example", 1)), many(token), "- callers 5:0 team may call no longer"},
		{"tokens for two audiences", many(token, strings.Replace(team, "audience: b", "audience: c", 1)), many(token), "- callers 5:0 team may call no longer"},
		{"tokens for two audiences of one party", many(token, strings.NewReplacer("audience: b", "audience: c", "team: x", "azp: b").Replace(team)), many(token), "- callers 5:0 team may call no longer\n+ callers 5:4 who was team can be token"},
		{"a key beside a certificate", many(all, "{name: ci, api_key: "+key+", may: [observe]}"), many(all), "- callers 5:0 ci may call no longer"},
		{"cedar", caller("may: [query]"), caller("may: [query]") + "cedar: |\n  forbid(principal, action, resource);\n", "+ cedar 0:4 the Cedar rules changed, and cannot be compared: try `blindbox policy test`"},
		{"cedar gone", rules("forbid(principal, action, resource);"), caller("may: [query]"), "+ cedar 4:0 the Cedar rules changed, and cannot be compared: try `blindbox policy test`"},
		{"cedar with comments", rules(forbids, permits), rules("// never", "forbid (principal,action,", "  resource)  // at all", "when { (context.path) == \"/b\" };", permits), ""},
		{"cedar in another order", rules(forbids, permits), rules(permits, forbids), ""},
		{"cedar with another path", rules(forbids), rules(strings.Replace(forbids, "/b", "/c", 1)), cedarChanged},
		{"cedar with another effect", rules(forbids), rules(strings.Replace(forbids, "forbid", "permit", 1)), cedarChanged},
		{"cedar with another condition", rules(forbids), rules(strings.Replace(forbids, "when", "unless", 1)), cedarChanged},
		{"cedar with another name", rules(forbids), rules("@id(\"b\")", forbids), cedarChanged},
		{"cedar twice", rules(forbids), rules(forbids, forbids), cedarChanged},
		{"cedar with other brackets", rules(strings.TrimSuffix(permits, ";") + " when { 3 - (2 - 1) == 2 };"), rules(strings.TrimSuffix(permits, ";") + " when { 3 - 2 - 1 == 2 };"), cedarChanged},

		{"image", image, strings.Replace(image, "sha256:9f86", "sha256:9f87", 1), "* app 2:2 the app is another image, sha256:9f87d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 instead of sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
		{"image from elsewhere", image, strings.Replace(image, "oci:./x.oci", "oci:./y.oci", 1), "= app 2:2 the same image comes from oci:./y.oci instead of oci:./x.oci"},
		{"image from elsewhere and another", image, strings.NewReplacer("./x.oci", "./y.oci", "sha256:9f86", "sha256:9f87").Replace(image), "* app 2:2 the app is another image, sha256:9f87d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 instead of sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
		{"command", image, img(", command: [a]"), "* app 0:2 app.command changed, and cannot be compared"},
		{"words of a command", img(", command: [a b]"), img(", command: [a, b]"), "* app 2:2 app.command changed, and cannot be compared"},
		{"actions", img(", actions: [{path: /up, is: upload}]"), img(", actions: [{path: /up, is: delete}]"), "* app 2:2 app.actions changed, and cannot be compared: try `blindbox policy test`"},
		{"the same actions", img(", actions: [{path: /up, is: upload}]"), img(", actions: [{is: upload, path: \"/up\"}]"), ""},
		{"env, dir", image, img(", env: {A: b}, dir: /x"), "* app 0:2 app.env changed, and cannot be compared\n* app 0:2 app.dir changed, and cannot be compared"},
		{"listen", head, strings.Replace(head, ":80", ":81", 1), "* app 2:2 app.listen changed, and cannot be compared"},
		{"gvisor", image, img(", isolation: gvisor"), "- app 0:2 the app is isolated by gvisor instead of runc"},
		{"no gvisor", img(", isolation: gvisor"), image, "+ app 2:0 the app is isolated by runc instead of gvisor"},
		{"to root", image, img(", user: \"0:0\""), "+ app 0:2 the app runs as user 0:0 instead of the image's user"},
		{"from root", img(", user: \"0:0\""), img(", user: \"1:1\""), "- app 2:2 the app runs as user 1:1 instead of user 0:0"},
		{"another group of root", img(", user: \"0:1\""), img(", user: \"0:0\""), "* app 2:2 the app runs as user 0:0 instead of user 0:1"},
		{"root is the image's", img(", user: \"0:0\""), image, "- app 2:0 the app runs as the image's user instead of user 0:0"},
		{"user gone", img(", user: \"1:1\""), image, "+ app 2:0 the app runs as the image's user instead of user 1:1"},
		{"capabilities", img(", capabilities: [CAP_CHOWN]"), img(", capabilities: [CAP_KILL]"), "+ app 2:2 the app has the Linux capability CAP_KILL\n- app 2:2 the app has the Linux capability CAP_CHOWN no longer"},
		{"app for models", "name: a\nmodels: [{name: m, builtin: m}]\n", head, "+ app 0:2 an app runs where none did\n- models 2:0 the model m runs no longer\n+ egress 0:0 egress: NOT RESTRICTED, the app is a plain process instead of none\n- limits 0:0 request: 1 MiB instead of 20 MiB"},
		{"models for app", head, "name: a\nmodels: [{name: m, builtin: m}]\n", "- app 2:0 no app runs\n+ models 0:2 the model m runs\n- egress 0:0 egress: none instead of NOT RESTRICTED, the app is a plain process\n+ limits 0:0 request: 20 MiB instead of 1 MiB"},
		{"model from elsewhere", models, strings.Replace(models, "/models/other", "/elsewhere/other", 1), ""},
		{"model of other bytes", models, strings.Replace(models, hash("model"), hash("x"), 1), "* models 4:4 the model other has other bytes"},
		{"model of another name", models, strings.Replace(models, "builtin: tumour", "builtin: lung", 1), "* models 3:3 the model tumour has other bytes"},

		{"egress restricted", head, head + "egress: none\n", "- egress 0:3 egress: none instead of NOT RESTRICTED, the app is a plain process"},
		{"egress open", to("{host: a.example, port: 1}"), head, "+ egress 3:0 egress: NOT RESTRICTED, the app is a plain process instead of a.example:1"},
		{"host came", image, image + "egress: {allow: [{host: a.example, port: 1}]}\n", "+ egress 0:3 the app may connect to a.example:1, in any protocol\n+ egress 0:0 connections at once: 64 instead of 0"},
		{"host went", image + "egress: {allow: [{host: a.example, port: 1}]}\n", image + "egress: none\n", "- egress 3:0 the app may connect to a.example:1, in any protocol no longer\n- egress 0:0 connections at once: 0 instead of 64"},
		{"port", to("{host: a.example, port: 1}"), to("{host: a.example, port: 2}"), "+ egress 0:3 the app may connect to a.example:2, in any protocol\n- egress 3:0 the app may connect to a.example:1, in any protocol no longer"},
		{"wildcard", to("{host: a.b.example, port: 1}"), to("{host: \"*.b.example\", port: 1}"), "+ egress 0:3 the app may connect to *.b.example:1, in any protocol, where * is one label"},
		{"two labels", to("{host: \"*.b.example\", port: 1}"), to("{host: x.y.b.example, port: 1}"), "+ egress 0:3 the app may connect to x.y.b.example:1, in any protocol\n- egress 3:0 the app may connect to *.b.example:1, in any protocol, where * is one label no longer"},
		{"a name is not its parent", to("{host: b.example, port: 1}"), to("{host: x.b.example, port: 1}"), "+ egress 0:3 the app may connect to x.b.example:1, in any protocol\n- egress 3:0 the app may connect to b.example:1, in any protocol no longer"},
		{"stricter tls", to("{host: a.example, port: 1}"), to("{host: a.example, port: 1, tls: pass}"), "- egress 3:0 the app may connect to a.example:1, in any protocol no longer"},
		{"laxer tls", to("{host: a.example, port: 1, tls: verify}"), to("{host: a.example, port: 1, tls: pass}"), "+ egress 0:3 the app may connect to a.example:1, by TLS for that name"},
		{"private", to("{host: a.example, port: 1}"), to("{host: a.example, port: 1, private: true}"), "+ egress 0:3 the app may connect to a.example:1, in any protocol, also if that is a private address"},
		{"a stricter line before a star went", to("{host: \"*.b.example\", port: 1, private: true}, {host: a.b.example, port: 1, tls: verify}"), to("{host: \"*.b.example\", port: 1, private: true}"),
			"+ egress 3:3 the app may connect to a.b.example:1, in any protocol, also if that is a private address"},
		{"a stricter line before a star came", to("{host: \"*.b.example\", port: 1}"), to("{host: \"*.b.example\", port: 1}, {host: a.b.example, port: 1, tls: verify}"),
			"- egress 3:3 the app may connect to a.b.example:1, in any protocol no longer"},
		{"a line before a star that is as strict", to("{host: \"*.b.example\", port: 1}, {host: a.b.example, port: 1}"), to("{host: \"*.b.example\", port: 1}"), ""},
		{"a stricter line at another port", to("{host: \"*.b.example\", port: 1}, {host: a.b.example, port: 2, tls: verify}"), to("{host: \"*.b.example\", port: 1}"),
			"- egress 3:0 the app may connect to a.b.example:2, by TLS with a valid certificate for that name no longer"},
		{"egress amounts", head + "egress: {allow: [{host: a.example, port: 1}], connections: 2, rate: 1MiB/s}\n", head + "egress: {allow: [{host: a.example, port: 1}], connections: 1, bytes: 1GiB/day}\n",
			"- egress 3:3 connections at once: 1 instead of 2\n+ egress 3:3 bytes to the outside in a short time: without bound instead of 1 MiB per second\n- egress 3:3 bytes to the outside in a long time: 1 GiB per day instead of without bound"},

		{"files", image + "files: {tmp: 1MiB, writable: [{path: /a, size: 1MiB}, {path: /b, size: 1MiB}]}\n", image + "files: {tmp: 2MiB, writable: [{path: /b, size: 1KiB}, {path: /c, size: 1MiB}]}\n",
			"+ files 3:3 /tmp: 2 MiB instead of 1 MiB\n- files 3:3 the app may write 1 KiB to /b instead of 1 MiB\n+ files 0:3 the app may write 1 MiB to /c instead of 0 B\n- files 3:0 the app may write to /a no longer"},
		{"limits up", head + "limits: {memory: 1GiB, pids: 1, cpu: 0.5, open_files: 16, request: 1KiB, response: 1KiB, concurrent: 1, time: 1s, idle: 1s}\n", head + "limits: {memory: 2GiB, pids: 2, cpu: 1, request: 2KiB, concurrent: 2, idle: 2s}\n",
			"+ limits 3:3 memory: 2 GiB instead of 1 GiB\n+ limits 3:3 pids: 2 instead of 1\n+ limits 3:3 cpu: 1 instead of 0.5\n+ limits 3:0 open_files: without bound instead of 16\n+ limits 3:3 request: 2 KiB instead of 1 KiB\n+ limits 3:0 response: without bound instead of 1 KiB\n+ limits 3:3 concurrent: 2 instead of 1\n+ limits 3:0 time: without bound instead of 1s\n+ limits 3:3 idle: 2s instead of 1s"},
		{"limits down", head, head + "limits: {memory: 2GiB, pids: 2, cpu: 1, concurrent: 2, idle: 2s, time: 1m}\n",
			"- limits 0:3 memory: 2 GiB instead of without bound\n- limits 0:3 pids: 2 instead of without bound\n- limits 0:3 cpu: 1 instead of without bound\n- limits 0:3 concurrent: 2 instead of 16\n- limits 0:3 time: 1m0s instead of without bound\n- limits 0:3 idle: 2s instead of 5m0s"},
		{"audit said", head, head + "audit: box\n", ""},
		{"audit to the host", head, head + "audit: host\n", "+ audit 0:3 audit: host instead of box"},
		{"audit kept back", head + "audit: host\n", head, "- audit 3:0 audit: box instead of host"},
		{"logs none said", head, head + "logs: none\n", ""},
		{"logs up", head, head + "logs: counters\n", "+ logs 0:3 logs: counters instead of none"},
		{"logs down", head + "logs: counters\n", head, "- logs 3:0 logs: none instead of counters"},
		{"logs sealed", head + "logs: counters\n", head + "logs: sealed:age1qqqqqqqqq\n", "* logs 3:3 logs: sealed:age1qqqqqqqqq instead of counters"},
		{"logs to another", head + "logs: sealed:age1rrrrrrrrr\n", head + "logs: sealed:age1qqqqqqqqq\n", "* logs 3:3 logs: sealed:age1qqqqqqqqq instead of sealed:age1rrrrrrrrr"},
		{"operators", operators("exec"), operators("shell"), "+ operators 3:3 the operator oncall may OPEN A SHELL beside the app\n- operators 3:3 the operator oncall may RUN COMMANDS beside the app no longer"},
		{"an operator came", head, operators("debug, restart"), "+ operators 0:3 the operator oncall may READ WHAT THE APP PRINTS\n+ operators 0:3 the operator oncall may RESTART the app"},
		{"an operator went", operators("restart"), head + "operators: none\n", "- operators 3:0 the operator oncall may RESTART the app no longer"},
		{"an operator by another key", operators("restart"), strings.Replace(operators("restart"), hash("op"), hash("other"), 1), "+ operators 0:3 the operator oncall may RESTART the app\n- operators 3:0 the operator oncall may RESTART the app no longer"},
		{"an operator by another name", operators("restart"), strings.Replace(operators("restart"), "oncall", "eve", 1), "= operators 3:3 the operator oncall is called eve"},
		{"an operator is every operator now", oncall("{name: all, certificate: {ca: " + hash("ca") + "}, may: [shell]}, {name: bob, certificate: {ca: " + hash("ca") + ", subject: bob}, may: [restart]}"), oncall("{name: all, certificate: {ca: " + hash("ca") + "}, may: [shell]}"),
			"- operators 3:0 the operator bob may RESTART the app no longer\n+ operators 3:3 who was bob can be all"},
		{"an operator for longer", until("2027-01-01T00:00:00Z"), operators("restart"), "+ operators 3:3 the operator oncall expires never instead of 2027-01-01T00:00:00Z"},
		{"an operator until sooner", until("2027-01-01T00:00:01Z"), until("2027-01-01T00:00:00Z"), "- operators 3:3 the operator oncall expires 2027-01-01T00:00:00Z instead of 2027-01-01T00:00:01Z"},
		{"platforms", head + "platforms: [tdx]\n", head + "platforms: [tdx, sgx]\n", "+ platforms 3:3 the box may run on sgx"},
		{"any platform", head + "platforms: [sev-snp, tdx, sgx, nitro, tpm, azure-sev-snp, azure-tdx]\n", head, "+ platforms 3:0 the box may run on composite"},
		{"simulated", head, head + "platforms: [sev-snp, tdx, sgx, nitro, tpm, azure-sev-snp, azure-tdx, composite, sim-sev-snp]\n", "+ platforms 0:3 the box may run on sim-sev-snp"},
	} {
		if got := diffLines(t, c.a, c.b); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}

// TestDiffIsClosed: no change is missed that the two ways round do not both see.
func TestDiffIsClosed(t *testing.T) {
	docs := []string{head, full, models, whole, image, composed, cedarHeadWithOther + "  forbid(principal, action, resource);\n"}
	for _, a := range docs {
		for _, b := range docs {
			there, back := Diff(parse(t, a), parse(t, b)), Diff(parse(t, b), parse(t, a))
			if (len(there) == 0) != (len(back) == 0) {
				t.Errorf("there %v, back %v", there, back)
			}
			if there.Narrowed() && !back.Widened() {
				t.Errorf("narrowed there and not widened back:\n%v\n%v", there, back)
			}
			if (a == b) != (len(there) == 0) || a == b && (there.Widened() || there.Narrowed()) {
				t.Errorf("%d changes, equal %t", len(there), a == b)
			}
		}
	}
}
