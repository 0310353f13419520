package main

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/examples/tumour"
)

// TestDemoNoticesWhatShouldNotBe: the demo is a proof only if it can fail.
func TestDemoNoticesWhatShouldNotBe(t *testing.T) {
	var out bytes.Buffer
	s := &session{stdout: &out, stderr: &out, env: os.Getenv, now: time.Now, format: "text"}
	d := &demonstration{s: s}
	if err := d.prepare(); err != nil {
		t.Fatal(err)
	}
	good, err := d.open(t.Context(), d.policy, false)
	if err != nil {
		t.Fatal(err)
	}
	defer good.close()
	if d.trust, err = appraise.ParseTrust(good.box.trustFile()); err != nil {
		t.Fatal(err)
	}
	expect := func(name, want string, err error) {
		t.Helper()
		if r := refusalOf(err); err == nil || r.entry.Number != 113 || !strings.Contains(r.seen, want) {
			t.Errorf("%s: %v, expected BBX-113 with %q", name, err, want)
		}
	}
	_, err = d.mustRefuse(t.Context(), good, attest.CodePolicyMismatch)
	expect("a box that is accepted", "was accepted", err)
	if n := good.close(); n != 1 {
		t.Errorf("the box counted %d requests, expected the one that was sent", n)
	}
	if _, err = d.mustRefuse(t.Context(), good, attest.CodePolicyMismatch); err == nil {
		t.Error("a box that is gone was refused")
	}
	expect("a box that is gone", "no verdict", err)

	changed, err := d.open(t.Context(), append(d.policy, '\n'), false)
	if err != nil {
		t.Fatal(err)
	}
	defer changed.close()
	_, err = d.mustRefuse(t.Context(), changed, attest.CodeKeyMismatch)
	expect("another reason", "expected key_mismatch", err)

	d.answer = []byte("{}")
	expect("a leak", "fragments", d.searchNothing([]byte("noise"), d.record))
	expect("no answer", "probabilities", d.showAnswer())
	leaky := &host{seen: []*recording{{}}}
	leaky.seen[0].up.Write([]byte{23, 3, 3, 0, 0})
	leaky.seen[0].down.Write(d.record)
	expect("plain text on the wire", "not a TLS record", d.showHost(leaky))
}

func TestTLSRecords(t *testing.T) {
	rec := func(typ byte, n int) []byte {
		return append([]byte{typ, 3, 3, byte(n >> 8), byte(n)}, make([]byte, n)...)
	}
	for name, c := range map[string]struct {
		stream []byte
		want   []tlsRecord
	}{
		"nothing":      {nil, nil},
		"two":          {append(rec(22, 300), rec(23, 1)...), []tlsRecord{{"handshake", 300}, {"application_data", 1}}},
		"cut off":      {rec(23, 100)[:50], []tlsRecord{{"application_data", 100}}},
		"plain http":   {[]byte("POST / HTTP/1.1\r\n"), []tlsRecord{{}}},
		"then plain":   {append(rec(23, 2), "GET / HTTP"...), []tlsRecord{{"application_data", 2}, {}}},
		"other type":   {rec(99, 0), []tlsRecord{{"", 0}}},
		"header alone": {[]byte{22, 3}, []tlsRecord{{}}},
	} {
		got := tlsRecords(c.stream)
		if len(got) != len(c.want) {
			t.Errorf("%s: %v, expected %v", name, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: record %d is %v, expected %v", name, i, got[i], c.want[i])
			}
		}
	}
}

// TestSearchFindsALeak: a search that found nothing is worth as much as what it
// would have found.
func TestSearchFindsALeak(t *testing.T) {
	record, _ := tumour.Sample()
	answer := []byte(`{"outputs":[{"name":"probabilities","datatype":"FP32","shape":[1,2],"data":[0.98765432,0.01234568]}]}`)
	all := fragments(record, answer, "demo-key-0123456789")
	noise := bytes.Repeat([]byte{0xa5, 0x17}, 5000)
	if hits := foundIn(all, noise); len(hits) != 0 {
		t.Fatalf("found %d fragments in noise", len(hits))
	}
	hidden := func(leak []byte) []byte { return append(append(bytes.Clone(noise), leak...), noise...) }
	f32 := binary.LittleEndian.AppendUint32(nil, math.Float32bits(16.78))
	f32 = binary.LittleEndian.AppendUint32(f32, math.Float32bits(18.8))
	f64 := binary.BigEndian.AppendUint64(nil, math.Float64bits(0.281))
	f64 = binary.BigEndian.AppendUint64(f64, math.Float64bits(0.07228))
	for name, leak := range map[string][]byte{
		"the record": record, "the answer": answer, "two values": []byte("109.3, 886.3"), "as float32": f32, "as float64": f64,
		"the key": []byte("demo-key-0123456789"), "a probability": []byte("0.98765432"), "the path": []byte("/v2/models/tumour/infer"),
	} {
		if len(foundIn(all, hidden(leak))) == 0 {
			t.Errorf("%s was not found", name)
		}
	}
}

func TestOnlyQuestions(t *testing.T) {
	question := func(n int) []byte {
		return append(append([]byte("BBG1\x01"), binary.BigEndian.AppendUint32(nil, uint32(n))...), make([]byte, n)...)
	}
	heard := func(streams ...[]byte) *host {
		h := &host{}
		for _, s := range streams {
			r := &recording{}
			r.up.Write(s)
			h.seen = append(h.seen, r)
		}
		return h
	}
	for name, c := range map[string]struct {
		h    *host
		want bool
	}{
		"nothing":         {heard(), false},
		"a silent client": {heard(nil), false},
		"one question":    {heard(question(40)), true},
		"two connections": {heard(question(40), question(1)), true},
		"a byte more":     {heard(append(question(40), 'P')), false},
		"accepted":        {heard(append(question(40), "BBG1\x05\x00\x00\x00\x00"...)), false},
		"an http request": {heard([]byte("POST /v2/models/tumour/infer HTTP/1.1\r\n")), false},
		"one of two":      {heard(question(40), []byte("POST")), false},
	} {
		if got := onlyQuestions(c.h); got != c.want {
			t.Errorf("%s: %v, expected %v", name, got, c.want)
		}
	}
}

func TestReadPrediction(t *testing.T) {
	good := `{"outputs":[{"name":"probabilities","data":[0.9,0.1]},{"name":"label","data":[0]}]}`
	a, err := readPrediction([]byte(good))
	if err != nil || a.Label != "malignant" || a.Probability != 0.9 {
		t.Errorf("%+v, %v", a, err)
	}
	for _, bad := range []string{"", "{}", `{"outputs":[]}`, `{"outputs":[{"name":"probabilities","data":[0.9,0.1]},{"name":"label","data":[7]}]}`,
		`{"outputs":[{"name":"probabilities","data":[0.9,0.1]},{"name":"label","data":[-1]}]}`} {
		if _, err := readPrediction([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
