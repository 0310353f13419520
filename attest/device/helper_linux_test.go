package device

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
)

func (s stub) Attest(context.Context, attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	if s.err != nil {
		return attest.Evidence{}, nil, s.err
	}
	return attest.Evidence{Kind: s.kind, Data: []byte("signed")}, s.end, nil
}

func spdm(nonce []byte) []byte {
	report := append([]byte{0x11, 0xE0, 0x01, 0xFF}, nonce...)
	return append(report, bytes.Repeat([]byte{7}, 100)...)
}

func printedBy(t testing.TB, whole bool, reports ...[]byte) []byte {
	t.Helper()
	devices := make([]map[string]string, len(reports))
	for i, r := range reports {
		devices[i] = map[string]string{"arch": "HOPPER", "evidence": base64.StdEncoding.EncodeToString(r), "certificate": base64.StdEncoding.EncodeToString([]byte("PEM"))}
	}
	var out any = devices
	if whole {
		out = map[string]any{"evidences": devices, "result_code": 0}
	}
	b, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestHelper runs a program that answers as NVIDIA's does.
func TestHelper(t *testing.T) {
	b := bound(t)
	nonce := b.Nonce(attest.NVIDIAGPU)
	for _, whole := range []bool{false, true} {
		out := printedBy(t, whole, spdm(nonce[:]), spdm(nonce[:]))
		h := program(t, fmt.Sprintf(`[ "$*" = "collect --nonce %x" ] && [ -z "$SECRET" ] && printf '%%s' '%s'`, nonce, out))
		t.Setenv("SECRET", "x")
		files := gramineTree(func(d []byte) []byte { return fakeQuote(3, teeSGX, 0, d) })
		files.content[h[0]] = nil
		a, err := open(files, Options{Kinds: []attest.Kind{attest.SGX, attest.NVIDIAGPU}, Helpers: map[attest.Kind]Helper{attest.NVIDIAGPU: h}})
		if err != nil {
			t.Fatal(err)
		}
		ev, _, err := a.Attest(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		parts, err := form.ParseComposite(ev.Data)
		if err != nil || len(parts) != 3 {
			t.Fatalf("%d parts, %v", len(parts), err)
		}
		gpu, err := form.ParseGPU(parts[2].Data)
		if err != nil || !bytes.Equal(gpu.Report, spdm(nonce[:])) || string(gpu.Chain) != "PEM" {
			t.Errorf("%x, %v", gpu.Report, err)
		}
	}
}

func TestHelperRefuses(t *testing.T) {
	b := bound(t)
	nonce, other := b.Nonce(attest.NVIDIAGPU), b.Nonce(attest.NVSwitch)
	say := func(out []byte) string { return "cat <<'END'\n" + string(out) + "\nEND\n" }
	noRequest := spdm(nonce[:])
	noRequest[1] = 0x60
	many := make([][]byte, form.MaxParts)
	for i := range many {
		many[i] = spdm(nonce[:])
	}
	for name, c := range map[string]struct{ script, text string }{
		"fails":            {"exit 3", "exit status 3"},
		"prints nothing":   {"true", "unexpected end"},
		"prints no JSON":   {"echo hello", "invalid character"},
		"half an object":   {"echo '{'", "unexpected end"},
		"no devices":       {"echo '[]'", "0 devices"},
		"too many devices": {say(printedBy(t, false, many...)), "32 devices"},
		"a switch's nonce": {say(printedBy(t, false, spdm(other[:]))), "the report is over"},
		"one of two":       {say(printedBy(t, false, spdm(nonce[:]), spdm(other[:]))), "device 1: the report is over"},
		"no request":       {say(printedBy(t, false, noRequest)), "GET_MEASUREMENTS"},
		"a request alone":  {say(printedBy(t, false, spdm(nonce[:])[:37])), "GET_MEASUREMENTS"},
		"a huge report":    {"", "limit"},
		"without an end":   {"exec cat /dev/zero", "prints more than"},
	} {
		t.Run(name, func(t *testing.T) {
			h := program(t, c.script)
			if name == "a huge report" {
				file := t.TempDir() + "/out"
				if err := os.WriteFile(file, printedBy(t, false, append(spdm(nonce[:]), make([]byte, 70<<10)...)), 0o600); err != nil {
					t.Fatal(err)
				}
				h = program(t, "cat "+file)
			}
			got, end, err := helperParts(h, attest.NVIDIAGPU)(t.Context(), b)
			if got != nil {
				t.Error("evidence and an error")
			}
			expectUnavailable(t, attest.Evidence{}, end, err, c.text)
		})
	}
	if _, _, err := helperParts(program(t, "true"), attest.NVIDIAGPU)(t.Context(), attest.Bound{}); err == nil || !strings.Contains(err.Error(), "bound is zero") {
		t.Errorf("zero bound: %v", err)
	}
	late, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, end, err := helperParts(program(t, "exec sleep 60"), attest.NVIDIAGPU)(late, b)
	expectUnavailable(t, attest.Evidence{}, end, err, "deadline")
	for _, h := range []Helper{nil, {"sh"}} {
		if _, err := h.run(t.Context(), nonce); err == nil || !strings.Contains(err.Error(), "absolute path") {
			t.Errorf("ran %v: %v", h, err)
		}
	}
	if c := detectHelper(&tree{}, Options{Helpers: map[attest.Kind]Helper{attest.NVIDIAGPU: {"nvattest"}}}, attest.NVIDIAGPU); c.Usable() {
		t.Errorf("%+v", c)
	}
}

// TestHelperReadsWhatNVIDIAPrints: a capture of NVIDIA's own program.
func TestHelperReadsWhatNVIDIAPrints(t *testing.T) {
	data, err := os.ReadFile("testdata/hopper_evidence.json")
	if err != nil {
		t.Fatal(err)
	}
	nonce, _ := hex.DecodeString("e97b23a1718095a0e9e35edca810768c70a6a5a389b705e753b197912bc11576")
	parts, err := readHelper(data, attest.NVIDIAGPU, [32]byte(nonce))
	if err != nil || len(parts) != 1 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	if _, err := readHelper(data, attest.NVIDIAGPU, [32]byte{}); err == nil {
		t.Error("accepted for another nonce")
	}
}

func FuzzHelper(f *testing.F) {
	nonce := [32]byte{1}
	f.Add(printedBy(f, true, spdm(nonce[:])))
	f.Add([]byte(`[{"evidence":"","certificate":null}]`))
	f.Fuzz(func(t *testing.T, out []byte) {
		parts, err := readHelper(out, attest.NVIDIAGPU, nonce)
		if (err == nil) == (len(parts) == 0) {
			t.Errorf("%d parts, %v", len(parts), err)
		}
	})
}
