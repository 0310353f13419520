package appraise

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/snp"
	"github.com/blindbox/blindbox/internal/strictyaml"
)

var (
	hexAA = strings.Repeat("aa", 48)
	chipC = strings.Repeat("cc", 64)
)

const acceptOne = "version: 1\naccept:\n  - {name: v1, sev-snp: {measurement: AA}, policy: any}\n"

func doc(more string) string {
	return strings.NewReplacer("AA", hexAA, "CHIP", chipC, "KEY", hexAA).Replace(acceptOne + more)
}

func TestParseTrustDefaults(t *testing.T) {
	trust, err := ParseTrust([]byte(doc("")))
	if err != nil {
		t.Fatal(err)
	}
	if got := trust.Kinds(); len(got) != 1 || got[0] != attest.SNP {
		t.Errorf("kinds %v", got)
	}
	if _, ok := trust.SimulatedRoot(); ok {
		t.Error("a simulated root by default")
	}
	if trust.MaxAge() != DefaultMaxAge || trust.ClockSkew() != DefaultClockSkew {
		t.Errorf("max age %s, skew %s", trust.MaxAge(), trust.ClockSkew())
	}
	if trust.hardware.accepts(snp.Milan) || !trust.hardware.accepts(snp.Genoa) || !trust.hardware.accepts(snp.Turin) || trust.hardware.accepts(0) {
		t.Errorf("products %v", trust.hardware.products)
	}
	if fmt.Sprint(trust.Names()) != "[v1]" {
		t.Errorf("names %v", trust.Names())
	}
}

func TestParseTrustValues(t *testing.T) {
	trust, err := ParseTrust([]byte(doc("allow_simulated: true\nsimulated_root: sha256:" + strings.Repeat("0f", 32) + "\nmax_age: 0s\nclock_skew: 30s\n")))
	if err != nil {
		t.Fatal(err)
	}
	if root, ok := trust.SimulatedRoot(); !ok || root[0] != 0x0f {
		t.Errorf("root %s %v", root, ok)
	}
	if fmt.Sprint(trust.Kinds()) != "[sev-snp sim-sev-snp]" || trust.MaxAge() != 0 || trust.ClockSkew() != 30*time.Second {
		t.Errorf("kinds %v, max age %s, skew %s", trust.Kinds(), trust.MaxAge(), trust.ClockSkew())
	}
	if floor, source := trust.Floor(snp.Genoa, 1); floor.SNP != 0x1b || !strings.Contains(source, FloorsDate) {
		t.Errorf("floor %s from %s", floor, source)
	}
	trust, err = ParseTrust([]byte(doc("hardware: {tcb: {Genoa: {bootloader: 1, tee: 2, snp: 3, microcode: 4}}}\n")))
	if err != nil {
		t.Fatal(err)
	}
	if floor, source := trust.Floor(snp.Genoa, 2); floor != (snp.TCB{Bootloader: 1, TEE: 2, SNP: 3, Microcode: 4}) || source != "trust file" {
		t.Errorf("floor %s from %s", floor, source)
	}
}

// What is wrong is refused with its line and column (rows G30 to G32).
func TestParseTrustRefuses(t *testing.T) {
	measurement := func(v string) string {
		return "version: 1\naccept:\n  - {name: v1, sev-snp: {measurement: " + v + "}, policy: any}\n"
	}
	for _, tc := range []struct{ name, doc, at, text string }{
		{"empty", "", "1:1", "empty"},
		{"two documents", doc("---\nversion: 1\n"), "4:1", "second document"},
		{"unknown key", doc("hardwear: {smt: allow}\n"), "4:1", "did you mean \"hardware\""},
		{"unknown key below", doc("hardware: {vmlp: 0}\n"), "4:12", "did you mean \"vmpl\""},
		{"duplicate key", doc("max_age: 1m\nmax_age: 2m\n"), "5:1", "again"},
		{"other version", strings.Replace(doc(""), "version: 1", "version: 2", 1), "1:10", "expected 1"},
		{"no version", strings.Replace(doc(""), "version: 1\n", "", 1), "1:1", "version: missing"},
		{"G31 no reference values", "version: 1\n", "1:1", "accept: missing"},
		{"G31 empty list of reference values", "version: 1\naccept: []\n", "2:9", "empty list"},
		{"G30 nothing for a reference value", "version: 1\naccept:\n", "2:8", "no value"},
		{"G30 empty measurement", measurement(`""`), "3:39", "96 hex digits"},
		{"G30 measurement all zero", measurement(strings.Repeat("0", 96)), "3:39", "not all zero"},
		{"G32 short measurement", measurement(strings.Repeat("a", 94)), "3:39", "96 hex digits, not 94"},
		{"G32 SHA-256 as a measurement", measurement(strings.Repeat("a", 64)), "3:39", "96 hex digits, not 64"},
		{"G32 upper case", measurement(strings.Repeat("A", 96)), "3:39", "lower-case hex"},
		{"G32 no hex", measurement(strings.Repeat("x", 96)), "3:39", "96 hex digits"},
		{"no measurement", "version: 1\naccept:\n  - {name: v1, sev-snp: {}, policy: any}\n", "3:25", "empty mapping"},
		{"no policy", "version: 1\naccept:\n  - {name: v1, sev-snp: {measurement: " + hexAA + "}}\n", "3:5", "policy: missing"},
		{"no name", "version: 1\naccept:\n  - {sev-snp: {measurement: " + hexAA + "}, policy: any}\n", "3:5", "name: missing"},
		{"empty name", strings.Replace(doc(""), "name: v1", `name: ""`, 1), "3:12", "1 to 128 bytes"},
		{"policy without sha256", strings.Replace(doc(""), "policy: any", "policy: "+strings.Repeat("a", 64), 1), "3:146", "sha256:"},
		{"policy Any", strings.Replace(doc(""), "policy: any", "policy: Any", 1), "3:146", "the word any"},
		{"policy all zero", strings.Replace(doc(""), "policy: any", "policy: sha256:"+strings.Repeat("0", 64), 1), "3:146", "not all zero"},
		{"expires no day", strings.Replace(doc(""), "policy: any", "policy: any, expires: soon", 1), "3:160", "2027-01-01"},
		{"expires an impossible day", strings.Replace(doc(""), "policy: any", "policy: any, expires: 2027-02-30", 1), "3:160", "2027-01-01"},
		{"same name twice", doc("  - {name: v1, sev-snp: {measurement: " + strings.Repeat("ab", 48) + "}, policy: any}\n"), "4:12", "again"},
		{"same reference value twice", doc("  - {name: v2, sev-snp: {measurement: AA}, policy: any}\n"), "4:5", `of "v1" again`},

		{"unknown kind", doc("hardware: {kinds: [tdz]}\n"), "4:20", "sev-snp"},
		{"simulated as a kind", doc("hardware: {kinds: [sim-sev-snp]}\n"), "4:20", "allow_simulated"},
		{"kind twice", doc("hardware: {kinds: [sev-snp, sev-snp]}\n"), "4:29", "the same as hardware.kinds[0]"},
		{"unknown product", doc("hardware: {products: [Rome]}\n"), "4:23", "Milan, Genoa, Turin"},
		{"product in lower case", doc("hardware: {products: [genoa]}\n"), "4:23", "Milan, Genoa, Turin"},
		{"product twice", doc("hardware: {products: [Genoa, Genoa]}\n"), "4:30", "the same as"},
		{"no products", doc("hardware: {products: []}\n"), "4:22", "empty list"},
		{"Milan without chips", doc("hardware: {products: [Genoa, Milan]}\n"), "4:30", "Milan needs hardware.chips"},
		{"G32 short chip", doc("hardware: {chips: [cccc]}\n"), "4:20", "128 hex digits, not 4"},
		{"G32 chip twice", doc("hardware: {chips: [CHIP, CHIP]}\n"), "4:150", "the same as hardware.chips[0]"},
		{"chip all zero", doc("hardware: {chips: [" + strings.Repeat("0", 128) + "]}\n"), "4:20", "not all zero"},
		{"floor of another product", doc("hardware: {products: [Turin], tcb: {Genoa: {bootloader: 1, tee: 1, snp: 1, microcode: 1}}}\n"), "4:44", "does not list"},
		{"floor of an unknown product", doc("hardware: {tcb: {Rome: {bootloader: 1, tee: 1, snp: 1, microcode: 1}}}\n"), "4:18", "unknown key"},
		{"floor with a component missing", doc("hardware: {tcb: {Genoa: {bootloader: 1, tee: 1, snp: 1}}}\n"), "4:25", "microcode: missing"},
		{"floor over a byte", doc("hardware: {tcb: {Genoa: {bootloader: 256, tee: 1, snp: 1, microcode: 1}}}\n"), "4:38", "from 0 to 255"},
		{"FMC on Genoa", doc("hardware: {tcb: {Genoa: {fmc: 1, bootloader: 1, tee: 1, snp: 1, microcode: 1}}}\n"), "4:31", "only Turin"},
		{"Turin without FMC", doc("hardware: {tcb: {Turin: {bootloader: 1, tee: 1, snp: 1, microcode: 1}}}\n"), "4:25", "fmc: missing"},
		{"report version that nobody knows", doc("hardware: {report_versions: [4]}\n"), "4:30", "2, 3 or 5"},
		{"report version twice", doc("hardware: {report_versions: [3, 3]}\n"), "4:33", "the same as"},
		{"vmpl 4", doc("hardware: {vmpl: 4}\n"), "4:18", "0, 1, 2, 3"},
		{"vmpl as the host has it", doc("hardware: {vmpl: 4294967295}\n"), "4:18", "0, 1, 2, 3"},
		{"smt require", doc("hardware: {smt: require}\n"), "4:17", "allow or forbid"},
		{"smt true", doc("hardware: {smt: true}\n"), "4:17", "allow, require or forbid"},
		{"unknown rule", doc("hardware: {guest_policy: {cxl: deny}}\n"), "4:32", "allow, require or forbid"},
		{"platform bit over 63", doc("hardware: {platform_bits: [64]}\n"), "4:28", "0 to 63"},
		{"platform bit that has a key", doc("hardware: {platform_bits: [5]}\n"), "4:28", "key of its own"},
		{"mitigation twice", doc("hardware: {mitigations: {current: [1, 1]}}\n"), "4:39", "the same as"},
		{"masked chip require", doc("hardware: {masked_chip: require}\n"), "4:25", "allow or forbid"},
		{"vlek without a provider", doc("hardware: {vlek: {csp: []}}\n"), "4:24", "empty list"},
		{"vlek with an empty provider", doc("hardware: {vlek: {csp: [\"\"]}}\n"), "4:25", "1 to 128 bytes"},
		{"firmware without a minor", doc("hardware: {firmware: 1}\n"), "4:22", "1.55"},
		{"firmware with zeros in front", doc("hardware: {firmware: 1.055}\n"), "4:22", "1.55"},
		{"revocation off", doc("hardware: {revocation: off}\n"), "4:24", "require or allow_missing"},
		{"no age for a CRL", doc("hardware: {crl_max_age: 0s}\n"), "4:25", "more than nothing"},
		{"key all zero", doc("hardware: {id_key: [" + strings.Repeat("0", 96) + "]}\n"), "4:21", "not all zero"},
		{"G32 key twice", doc("hardware: {author_key: [KEY, KEY]}\n"), "4:123", "the same as"},
		{"id of another length", doc("hardware: {family_id: 01}\n"), "4:23", "32 hex digits, not 2"},

		{"allow_simulated false", doc("allow_simulated: false\n"), "4:18", "only true"},
		{"allow_simulated yes", doc("allow_simulated: yes\n"), "4:18", "true or false"},
		{"allow_simulated True", doc("allow_simulated: True\n"), "4:18", "true or false"},
		{"allow_simulated in quotes", doc("allow_simulated: \"true\"\n"), "4:18", "true or false"},
		{"allow_simulated without a root", doc("allow_simulated: true\n"), "4:18", "simulated_root: missing"},
		{"a root without allow_simulated", doc("simulated_root: sha256:" + strings.Repeat("a", 64) + "\n"), "4:17", "no meaning"},
		{"a root of zeros", doc("allow_simulated: true\nsimulated_root: sha256:" + strings.Repeat("0", 64) + "\n"), "5:17", "not all zero"},
		{"max_age without a unit", doc("max_age: 10\n"), "4:10", "duration"},
		{"max_age below zero", doc("max_age: -1m\n"), "4:10", "duration"},
		{"max_age for ever", doc("max_age: 25h\n"), "4:10", "at most 24h0m0s"},
		{"clock_skew of a day", doc("clock_skew: 24h\n"), "4:13", "at most 1h0m0s"},

		{"callers of nobody's", doc("require: {callers: known}\n"), "4:20", "authenticated"},
		{"models all zero", doc("require: {models: [sha256:" + strings.Repeat("0", 64) + "]}\n"), "4:20", "not all zero"},
		{"models twice", doc("require: {models: [sha256:" + strings.Repeat("a", 64) + ", sha256:" + strings.Repeat("a", 64) + "]}\n"), "4:93", "the same as"},
		{"callers of another kind", doc("require: {callers: [ssh]}\n"), "4:21", "api_key, certificate"},
		{"callers twice", doc("require: {callers: [oidc, oidc]}\n"), "4:27", "the same as"},
		{"no callers", doc("require: {callers: []}\n"), "4:20", "empty list"},
		{"callers by half a key", doc("require: {callers: [\"api_key:sha256:77be\"]}\n"), "4:21", "authenticated"},
		{"callers by another word for a key", doc("require: {callers: [\"key:sha256:" + strings.Repeat("a", 64) + "\"]}\n"), "4:21", "authenticated"},
		{"callers by a key of zeros", doc("require: {callers: [\"api_key:sha256:" + strings.Repeat("0", 64) + "\"]}\n"), "4:21", "authenticated"},
		{"callers by no provider", doc("require: {callers: [\"oidc:login.hospital.example\"]}\n"), "4:21", "oidc:https"},
		{"callers by the URL of something else", doc("require: {callers: [\"anyone:https://login.hospital.example\"]}\n"), "4:21", "oidc:https"},
		{"callers by a SPIFFE id of any authority", doc("require: {callers: [\"certificate:spiffe://clinic.example/app\"]}\n"), "4:21", "of the authority"},
		{"callers by a policy of any code", doc("require: {callers: [\"attested:sha256:" + strings.Repeat("a", 64) + "\"]}\n"), "4:21", "authenticated"},
		{"callers as a mapping", doc("require: {callers: {anyone: false}}\n"), "4:20", "a word or a list"},
		{"egress to all", doc("require: {egress: all}\n"), "4:19", "HOST:PORT"},
		{"egress of any", doc("require: {egress: any}\n"), "4:19", "HOST:PORT"},
		{"egress without a port", doc("require: {egress: [api.stripe.com]}\n"), "4:20", "HOST:PORT"},
		{"egress to port 0", doc("require: {egress: [\"a:0\"]}\n"), "4:20", "HOST:PORT"},
		{"egress to port 0 of an address", doc("require: {egress: [\"[::1]:0\"]}\n"), "4:20", "HOST:PORT"},
		{"egress to port 65536", doc("require: {egress: [\"a:65536\"]}\n"), "4:20", "HOST:PORT"},
		{"egress to a port in another form", doc("require: {egress: [\"a:0443\"]}\n"), "4:20", "HOST:PORT"},
		{"egress to an address in another form", doc("require: {egress: [\"[2001:DB8::1]:443\"]}\n"), "4:20", "HOST:PORT"},
		{"egress to an address of one link", doc("require: {egress: [\"[fe80::1%eth0]:443\"]}\n"), "4:20", "HOST:PORT"},
		{"egress to an IPv4 address as IPv6", doc("require: {egress: [\"[::ffff:10.0.0.5]:443\"]}\n"), "4:20", "HOST:PORT"},
		{"egress to a host in another form", doc("require: {egress: [\"API.stripe.com:443\"]}\n"), "4:20", "HOST:PORT"},
		{"egress to one host twice", doc("require: {egress: [\"a:1\", \"a:1\"]}\n"), "4:27", "the same as"},
		{"logs of another kind", doc("require: {logs: [all]}\n"), "4:18", "none, counters"},
		{"logs by another word", doc("require: {logs: sealed}\n"), "4:17", "none, counters"},
		{"logs sealed to nobody", doc("require: {logs: [\"sealed:age2qqqqqqqqq\"]}\n"), "4:18", "none, counters"},
		{"images all zero", doc("require: {images: [sha256:" + strings.Repeat("0", 64) + "]}\n"), "4:20", "not all zero"},
		{"no image", doc("require: {images: []}\n"), "4:19", "empty list"},
		{"images twice", doc("require: {images: [sha256:" + strings.Repeat("a", 64) + ", sha256:" + strings.Repeat("a", 64) + "]}\n"), "4:93", "the same as"},
		{"a command of no image", doc("require: {command: [x]}\n"), "4:21", "require.images"},
		{"a variable of no image", doc("require: {env: {A: x}}\n"), "4:20", "require.images"},
		{"a service of no image", doc("require: {services: {db: {command: [x]}}}\n"), "4:26", "require.images"},
		{"a service without a command", doc("require: {images: [sha256:" + strings.Repeat("a", 64) + "], services: {db: {}}}\n"), "4:109", "services.db"},
		{"a service with an empty command", doc("require: {images: [sha256:" + strings.Repeat("a", 64) + "], services: {db: {command: []}}}\n"), "4:119", "empty list"},
		{"a service that no policy can have", doc("require: {images: [sha256:" + strings.Repeat("a", 64) + "], services: {DB: {command: [x]}}}\n"), "4:109", "name of a service"},
		{"no command", doc("require: {command: []}\n"), "4:20", "empty list"},
		{"a variable that no policy can have", doc("require: {images: [sha256:" + strings.Repeat("a", 64) + "], env: {A-B: x}}\n"), "4:105", "letters, digits and '_'"},
		{"egress by another word", doc("require: {egress: [\"a:443 tls\"]}\n"), "4:20", "pass, verify"},
		{"egress by no word", doc("require: {egress: [\"a:443 \"]}\n"), "4:20", "pass, verify"},
		{"egress by the default of names", doc("require: {egress: [\"a:443 pass\"]}\n"), "4:20", "pass, verify"},
		{"egress by the default of ports", doc("require: {egress: [\"a:80 any\"]}\n"), "4:20", "pass, verify"},
		{"egress private twice", doc("require: {egress: [\"a:443 private private\"]}\n"), "4:20", "pass, verify"},
		{"egress in another order", doc("require: {egress: [\"a:443 private any\"]}\n"), "4:20", "pass, verify"},
		{"egress to an address with TLS", doc("require: {egress: [\"10.0.0.5:443 verify\"]}\n"), "4:20", "pass, verify"},
		{"egress to an address that is private", doc("require: {egress: [\"[::1]:443 private\"]}\n"), "4:20", "pass, verify"},
		{"an operation that there is not", doc("require: {operators: [sudo]}\n"), "4:23", "restart, exec"},
		{"operators of any", doc("require: {operators: any}\n"), "4:22", "restart, exec"},
		{"isolation by a word", doc("require: {isolation: gvisor}\n"), "4:22", "a list of gvisor"},
		{"isolation of another kind", doc("require: {isolation: [chroot]}\n"), "4:23", "a list of gvisor"},
		{"a requirement that there is not", doc("require: {network: none}\n"), "4:11", "unknown key"},
		{"request without a unit", doc("require: {request: 1000}\n"), "4:20", "4MiB"},
		{"request of nothing", doc("require: {request: 0B}\n"), "4:20", "4MiB"},
		{"nobody at once", doc("require: {concurrent: 0}\n"), "4:23", "1 or more"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			trust, err := ParseTrust([]byte(tc.doc))
			if err == nil || trust != nil {
				t.Fatalf("accepted: %v", trust)
			}
			if !strings.Contains(err.Error(), tc.at+": ") || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("error %q, want %q at %s", err, tc.text, tc.at)
			}
			var place *strictyaml.Error
			if !errors.As(err, &place) || place.Line < 1 || place.Column < 1 {
				t.Errorf("error without a place: %v", err)
			}
		})
	}
}

func TestParseTrustReportsEveryProblem(t *testing.T) {
	_, err := ParseTrust([]byte(doc("hardware: {products: [Milan], chips: [CHIP, CHIP], smt: require}\nmax_age: 100h\n")))
	var all strictyaml.Errors
	if !errors.As(err, &all) || len(all) != 3 {
		t.Errorf("error %v", err)
	}
}

// trustFiles are the documents that the round trip and the fuzzer start from.
func trustFiles(t testing.TB) map[string][]byte {
	t.Helper()
	files := map[string][]byte{
		"default": []byte(doc("")),
		"strict":  parseTest(t, strictTrust).Marshal(),
		"sim":     parseTest(t, simTrust).Marshal(),
		"require": []byte(doc("require: {callers: [\"api_key:sha256:" + strings.Repeat("a", 64) + "\", \"oidc:https://login.hospital.example:8443/realm\", attested, anyone], egress: [\"*.example.com:443\", \"[2001:db8::1]:443\", \"10.0.0.5:5432\", \"a:443 any private\", \"a:80 pass\", \"b:443 private\"], logs: [none, sealed, \"sealed:age1qqqqqqqqq\"], images: [sha256:" + strings.Repeat("b", 64) + "], command: [\"yes\", \"a \\\"b\\n\"], env: {\"on\": \"1\", B: \"\", A: \"#: x\"}, operators: [restart, debug], isolation: [runc, process]}\n")),
		"nobody":  []byte(doc("require: {callers: none, egress: none, logs: none, operators: none}\n")),
		"all":     []byte(doc("hardware: {products: [Milan, Turin], chips: [CHIP], tcb: {Milan: {bootloader: 1, tee: 0, snp: 2, microcode: 3}, Turin: {fmc: 1, bootloader: 1, tee: 1, snp: 4, microcode: 81}}, platform_bits: [8, 63], masked_chip: allow, vlek: {csp: [\"CN=cc: #1\"]}, revocation: allow_missing, vmpl: any}\nmax_age: 0s\nclock_skew: 0s\nrequire: {request: 1023B}\n")),
	}
	paths, err := filepath.Glob("../vectors/appraise/*/trust.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		if files[p], err = os.ReadFile(p); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func TestMarshalRoundTrips(t *testing.T) {
	for name, file := range trustFiles(t) {
		first, err := ParseTrust(file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again, err := ParseTrust(first.Marshal())
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, first.Marshal())
			continue
		}
		if !reflect.DeepEqual(first, again) || len(Diff(first, again)) != 0 {
			t.Errorf("%s changed: %v\n%s", name, Diff(first, again), first.Marshal())
		}
	}
}

func TestDiff(t *testing.T) {
	before := parseTest(t, "version: 1\naccept:\n  - {name: v1, sev-snp: {measurement: MEASUREMENT}, policy: any}\nmax_age: 1m\n")
	after := parseTest(t, "version: 1\naccept:\n  - {name: v2, sev-snp: {measurement: MEASUREMENT}, policy: any, expires: 2027-01-01}\nhardware: {smt: forbid}\nmax_age: 2m\n")
	var lines []string
	for _, c := range Diff(before, after) {
		lines = append(lines, c.String())
	}
	want := `- accept "v1" measurement: ` + hexAA + `
- accept "v1" policy: any
~ max_age: 1m0s -> 2m0s
+ accept "v2" measurement: ` + hexAA + `
+ accept "v2" policy: any
+ accept "v2" expires: 2027-01-01
+ hardware.smt: forbid`
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("diff\n%s\nwant\n%s", got, want)
	}
	if changes := Diff(before, before); changes != nil {
		t.Errorf("a file differs from itself: %v", changes)
	}
}

// FuzzParseTrust: whatever the bytes, there is a Trust or an error with a
// place, and what was read once is read the same when it was written out.
func FuzzParseTrust(f *testing.F) {
	for _, file := range trustFiles(f) {
		f.Add(file)
	}
	f.Add([]byte("version: 1\naccept: [&a {name: x}, *a]\n"))
	f.Add([]byte("{version: 1, accept: [{name: \"\\u202e\"}]}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		trust, err := ParseTrust(data)
		if err != nil {
			if trust != nil {
				t.Fatal("a trust and an error")
			}
			var place *strictyaml.Error
			if !errors.As(err, &place) || place.Line < 1 || place.Column < 1 {
				t.Fatalf("error without a place: %v", err)
			}
			return
		}
		if len(trust.accept) == 0 || len(trust.hardware.products) == 0 || len(trust.hardware.kinds) == 0 {
			t.Fatalf("a trust with an empty list: %+v", trust)
		}
		again, err := ParseTrust(trust.Marshal())
		if err != nil || !reflect.DeepEqual(trust, again) {
			t.Fatalf("not the same again: %v\n%s", err, trust.Marshal())
		}
	})
}
