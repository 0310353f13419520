package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/client"
	"github.com/blindbox/blindbox/internal/catalogue"
)

// inMemory runs one command line without a process.
func inMemory(t *testing.T, now func() time.Time, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), session{
		args: args, stdin: strings.NewReader(""), stdout: &out, stderr: &errs,
		env: func(string) string { return "" }, now: now,
	})
	return code, out.String(), errs.String()
}

func TestDefectIsANumberAndNoStack(t *testing.T) {
	broken := func() time.Time { panic("the clock is broken") }
	for _, format := range []string{"text", "json"} {
		code, stdout, stderr := inMemory(t, broken, "verify", "-o", format, "report_test.go")
		all := stdout + stderr
		if code != 1 || !strings.Contains(all, "BBX-199") || !strings.Contains(all, "the clock is broken") {
			t.Errorf("%s: exit %d, %q", format, code, all)
		}
		if strings.Contains(all, "goroutine") || strings.Contains(all, ".go:") {
			t.Errorf("%s: a stack reached the user: %q", format, all)
		}
	}
}

func TestEveryErrorHasANumber(t *testing.T) {
	check := func(name string, code attest.Code) attest.Check { return attest.Check{Name: name, Code: code} }
	failure := func(checks ...attest.Check) error { return fmt.Errorf("wrapped: %w", &attest.Failure{Checks: checks}) }
	for name, c := range map[string]struct {
		err    error
		number int
		exit   int
	}{
		"first failed check decides":  {failure(check("code.measurement", "measurement"), check("policy.digest", "policy_mismatch")), 203, 2},
		"only unavailable":            {failure(check("hardware.revocation_ca", "no_crl")), 302, 3},
		"unavailable and refused":     {failure(check("hardware.revocation_ca", "no_crl"), check("hardware.debug", "debug")), 302, 2},
		"a code that a stranger made": {failure(check("channel.answer", "evil\x1b[31m")), 201, 2},
		"we are not its caller":       {failure(check("channel.answer", "policy_mismatch")), 401, 2},
		"our kind is none of its":     {failure(attest.Check{Name: "channel.answer", Code: "kind_mismatch", Seen: "the box refused: peer.caller"}), 401, 2},
		"the box has no such kind":    {failure(check("channel.answer", "kind_mismatch")), 202, 2},
		"the box shows another one":   {failure(check("policy.digest", "policy_mismatch")), 204, 2},
		"nothing was checked":         {&attest.Failure{}, 199, 1},
		"unavailable":                 {fmt.Errorf("x: %w", attest.ErrUnavailable), 301, 3},
		"deadline":                    {fmt.Errorf("x: %w", context.DeadlineExceeded), 301, 3},
		"interrupted":                 {fmt.Errorf("x: %w", context.Canceled), 112, 1},
		"anything else":               {errors.New("connection reset"), 301, 3},
		"partial":                     {&appraise.PartialError{}, 303, 4},
		"a code without an entry":     {fail("no_such_code", "x", "y", ""), 199, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := refusalOf(c.err)
			if r.entry.Number != c.number || r.exit != c.exit {
				t.Errorf("BBX-%d exit %d, expected BBX-%d exit %d", r.entry.Number, r.exit, c.number, c.exit)
			}
			var b bytes.Buffer
			r.print(&b)
			if strings.ContainsRune(b.String(), '\x1b') {
				t.Errorf("an escape reached the terminal: %q", b.String())
			}
		})
	}
}

func TestOnlyARefusalSaysThatNothingWasSent(t *testing.T) {
	refused := &client.RefusedError{Failure: attest.NewFailure("code.measurement", "measurement", "a", "b")}
	if !requestRefusal(refused).contacted {
		t.Error("a refusal does not say that nothing was sent")
	}
	// A connection that is lost in the middle may have carried the request.
	if requestRefusal(errors.New("connection reset")).contacted {
		t.Error("a lost connection claims that nothing was sent")
	}
	if p := explainToClient(refused); p.Status != 502 || p.Code != "BBX-203" || !strings.Contains(p.Detail, "nothing was forwarded") {
		t.Errorf("problem %+v", p)
	}
}

func TestOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"plain · ümlaut":      "plain · ümlaut",
		"two\nlines\r\tx":     "two lines  x",
		"\x1b[31mred\x07":     " [31mred ",
		"\u202edrawkcab":      " drawkcab",
		"\u009b31m":           " 31m",
		"nul\x00 del\x7f":     "nul  del ",
		"\u2066isolate\u2069": " isolate ",
	} {
		if got := oneLine(in); got != want {
			t.Errorf("%q becomes %q, expected %q", in, got, want)
		}
	}
}

// TestJSONHoldsNoCommands: what a terminal obeys is escaped, and says the same.
func TestJSONHoldsNoCommands(t *testing.T) {
	var out bytes.Buffer
	s := &session{stdout: &out, format: "json"}
	want := map[string]string{"\u009b31m": "\x1b[2J \u202e \u2066 \u200f \x7f ümlaut \u2028 \x00"}
	s.writeJSON(want)
	for _, r := range out.String() {
		if r < ' ' && r != '\n' || commands(r) {
			t.Errorf("%U in %q", r, out.String())
		}
	}
	var got map[string]string
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || !maps.Equal(got, want) || !strings.Contains(out.String(), "ümlaut") {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAbridge(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 6)
	for in, want := range map[string]string{
		long:                     "0123..cdef",
		"sha256:" + long + ", x": "sha256:0123..cdef, x",
		"0123456789abcdef":       "0123456789abcdef",
		strings.ToUpper(long):    strings.ToUpper(long),
		"two  spaces " + long:    "two  spaces 0123..cdef",
	} {
		if got := abridge(in); got != want {
			t.Errorf("%q becomes %q, expected %q", in, got, want)
		}
	}
}

func TestSkippedChecksByGroup(t *testing.T) {
	for in, want := range map[string]string{
		"":                                      "",
		"code.measurement":                      "code (measurement)",
		"hardware.ark_crl":                      "hardware (ark crl)",
		"channel.bound channel.time policy.id":  "channel (2 checks), policy (id)",
		"channel.bound policy.id channel.nonce": "channel (2 checks), policy (id)",
	} {
		if got := byGroup(strings.Fields(in)); got != want {
			t.Errorf("%q becomes %q, expected %q", in, got, want)
		}
	}
}

func TestWantedFormat(t *testing.T) {
	for args, want := range map[string]string{
		"verify -o json x":         "json",
		"verify -ojson x":          "json",
		"verify --output=json":     "json",
		"verify --output json":     "json",
		"dev -- app -o json":       "text",
		"curl -o json https://box": "text",
		"verify x":                 "text",
		"verify -o":                "text",
	} {
		if got := wantedFormat(strings.Fields(args)); got != want {
			t.Errorf("%s: %s, expected %s", args, got, want)
		}
	}
}

func TestExitCodesOfTheCatalogue(t *testing.T) {
	for stage, want := range map[catalogue.Stage]int{catalogue.Usage: 1, catalogue.Refused: 2, catalogue.Unavailable: 3, catalogue.Partial: 4} {
		if int(stage) != want {
			t.Errorf("stage %d, expected exit code %d", stage, want)
		}
	}
}

// TestHelpOfEveryCommand: each has a short text and prints help without error.
func TestHelpOfEveryCommand(t *testing.T) {
	s := session{env: os.Getenv, now: time.Now}
	for _, cmd := range newRoot(&s).Commands() {
		if cmd.Short == "" {
			t.Errorf("%s has no short text", cmd.Name())
		}
		if code, stdout, stderr := inMemory(t, time.Now, cmd.Name(), "--help"); code != 0 || stdout == "" || stderr != "" {
			t.Errorf("%s --help: exit %d, %q, %q", cmd.Name(), code, stdout, stderr)
		}
	}
}

// TestJSONIsOneDocument: whatever happens, standard output holds one object.
func TestJSONIsOneDocument(t *testing.T) {
	captures, err := filepath.Glob("../../vectors/snp/*.report.bin")
	if err != nil || len(captures) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	for _, args := range [][]string{
		{"verify", "-o", "json", captures[0]}, {"verify", "-o", "json", "nothing"}, {"verify", "-o", "json"},
		{"version", "-o", "json"}, {"explain", "-o", "json", "203"}, {"trust", "show", "-o", "json"},
		{"trust", "show", "-o", "json", "testdata/any.trust.yaml"}, {"policy", "check", "-o", "json", "main.go"},
	} {
		_, stdout, stderr := inMemory(t, time.Now, args...)
		var doc map[string]any
		if err := json.Unmarshal([]byte(stdout), &doc); err != nil || stderr != "" {
			t.Errorf("%v: %v: %.300q, %q", args, err, stdout, stderr)
		}
	}
}

// TestExitCodeIsWhatTheLibrarySays: a program that asks errors.Is and a script that
// reads the exit code are told the same, for every code there is.
func TestExitCodeIsWhatTheLibrarySays(t *testing.T) {
	missing := 0
	for _, entry := range catalogue.All() {
		for _, code := range entry.Codes {
			err := attest.NewFailure("hardware.x", code, "a", "b")
			want := entry.Stage() == catalogue.Unavailable
			if errors.Is(err, attest.ErrUnavailable) != want || code.Unavailable() != want {
				t.Errorf("%s: BBX-%d is stage %d, attest says unavailable: %v", code, entry.Number, entry.Stage(), code.Unavailable())
			}
			if exit := refusalOf(err).exit; (exit == int(catalogue.Unavailable)) != want || !want && exit != exitRefused {
				t.Errorf("%s: exit %d", code, exit)
			}
			if want {
				missing++
			}
		}
	}
	if missing < 8 {
		t.Errorf("%d codes say that something is missing", missing)
	}
}
