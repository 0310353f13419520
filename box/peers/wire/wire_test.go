package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
)

func goodQuestion() Question {
	return Question{
		At: time.Unix(1_800_000_000, 5).UTC(), Statement: []byte("statement"), Bundle: []byte("bundle"),
		References: []Reference{
			{Kind: attest.SNP, Measurement: bytes.Repeat([]byte{1}, 48), Policy: attest.Digest{2}},
			{Kind: attest.SimSNP, Measurement: bytes.Repeat([]byte{3}, 48), Policy: attest.Digest{4}, Root: attest.Digest{5}},
		},
	}
}

func goodAnswers() map[string]Answer {
	return map[string]Answer{
		"yes":         {Accepted: true, Reference: 1, Until: time.Unix(1_800_000_000, 0).UTC()},
		"without end": {Accepted: true},
		"no":          {Failed: []attest.Check{{Name: "code.measurement", Code: "measurement_mismatch", Seen: "a", Expected: "b"}, {Name: "x", Code: "y"}}},
	}
}

// TestRoundTrip: what is sent is what arrives, and nothing beyond it is read.
func TestRoundTrip(t *testing.T) {
	var b bytes.Buffer
	if err := errors.Join(WriteReady(&b), WriteQuestion(&b, goodQuestion())); err != nil {
		t.Fatal(err)
	}
	b.WriteString("more")
	if err := ReadReady(&b); err != nil {
		t.Fatal(err)
	}
	if q, err := ReadQuestion(&b); err != nil || !reflect.DeepEqual(q, goodQuestion()) {
		t.Errorf("%+v, %v", q, err)
	}
	if b.String() != "more" {
		t.Errorf("left over: %q", b.String())
	}
	for name, a := range goodAnswers() {
		b.Reset()
		if err := WriteAnswer(&b, a); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := ReadAnswer(&b, 2); err != nil || !reflect.DeepEqual(got, a) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestLimits: the largest of everything fits, and one more does not.
func TestLimits(t *testing.T) {
	q := goodQuestion()
	q.Statement, q.Bundle = make([]byte, attest.MaxStatement), make([]byte, attest.MaxBundle)
	q.References = nil
	for range MaxReferences {
		q.References = append(q.References, Reference{Kind: attest.AzureSNP, Measurement: bytes.Repeat([]byte{1}, maxMeasurement), Policy: attest.Digest{2}})
	}
	var b bytes.Buffer
	if err := WriteQuestion(&b, q); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadQuestion(&b); err != nil {
		t.Error(err)
	}
	name, text := strings.Repeat("a", maxName), strings.Repeat("b", MaxText)
	var a Answer
	for range MaxChecks {
		a.Failed = append(a.Failed, attest.Check{Name: name, Code: attest.Code(name), Seen: text, Expected: text})
	}
	if err := WriteAnswer(&b, a); err != nil {
		t.Fatal(err)
	}
	if b.Len() != headerSize+maxAnswer {
		t.Errorf("the largest answer has %d bytes, expected %d", b.Len()-headerSize, maxAnswer)
	}
	if _, err := ReadAnswer(&b, 1); err != nil {
		t.Error(err)
	}
}

// TestQuestionRefused: what cannot be a question is not sent and not read.
func TestQuestionRefused(t *testing.T) {
	ref := func(change func(*Reference)) func(*Question) {
		return func(q *Question) { change(&q.References[1]) }
	}
	for name, change := range map[string]func(*Question){
		"no time":                     func(q *Question) { q.At = time.Unix(0, 0) },
		"before 1970":                 func(q *Question) { q.At = time.Unix(0, -1) },
		"no statement":                func(q *Question) { q.Statement = nil },
		"long statement":              func(q *Question) { q.Statement = make([]byte, attest.MaxStatement+1) },
		"no references":               func(q *Question) { q.References = nil },
		"many references":             func(q *Question) { q.References = slices.Repeat(q.References[:1], MaxReferences+1) },
		"no bundle":                   func(q *Question) { q.Bundle = nil },
		"long bundle":                 func(q *Question) { q.Bundle = make([]byte, attest.MaxBundle+1) },
		"no kind":                     func(q *Question) { q.References[0].Kind = 0 },
		"no measurement":              ref(func(r *Reference) { r.Measurement = nil }),
		"long measurement":            ref(func(r *Reference) { r.Measurement = make([]byte, maxMeasurement+1) }),
		"no policy":                   ref(func(r *Reference) { r.Policy = attest.Digest{} }),
		"simulated without a root":    ref(func(r *Reference) { r.Root = attest.Digest{} }),
		"hardware with a simulated's": ref(func(r *Reference) { r.Kind = attest.SNP }),
	} {
		q := goodQuestion()
		change(&q)
		var b bytes.Buffer
		if err := WriteQuestion(&b, q); err == nil || b.Len() != 0 {
			t.Errorf("%s: sent %d bytes, %v", name, b.Len(), err)
		}
		// What the other end cannot be made to send it must not get either.
		if q.validate() == nil {
			t.Errorf("%s: valid", name)
		}
	}
}

// raw is an answer as nobody but a hostile process writes it.
func raw(verdict byte, reference uint16, until uint64, count byte, texts ...string) []byte {
	b := binary.BigEndian.AppendUint16([]byte{verdict}, reference)
	b = append(binary.BigEndian.AppendUint64(b, until), count)
	for _, s := range texts {
		b = appendShort(b, []byte(s))
	}
	return b
}

// TestAnswerRefused: an answer is a yes or a no in one spelling. Anything else is
// no answer, which is a refusal.
func TestAnswerRefused(t *testing.T) {
	long := strings.Repeat("a", MaxText+1)
	for name, payload := range map[string][]byte{
		"nothing":                    {},
		"a third verdict":            raw(2, 0, 0, 0),
		"reference that was not":     raw(1, 2, 0, 0),
		"yes and reasons":            raw(1, 0, 0, 1, "a", "b", "", ""),
		"no and no reason":           raw(0, 0, 0, 0),
		"no and a reference":         raw(0, 1, 0, 1, "a", "b", "", ""),
		"no and an end":              raw(0, 0, 5, 1, "a", "b", "", ""),
		"an end past all ends":       raw(1, 0, maxSeconds+1, 0),
		"an end before 1970":         raw(1, 0, 1<<63, 0),
		"too many reasons":           raw(0, 0, 0, MaxChecks+1, strings.Split(strings.Repeat("a,b,c,d,", MaxChecks+1), ",")[:4*(MaxChecks+1)]...),
		"fewer reasons than it says": raw(0, 0, 0, 2, "a", "b", "", ""),
		"bytes after the end":        append(raw(1, 0, 0, 0), 0),
		"a reason without name":      raw(0, 0, 0, 1, "", "b", "", ""),
		"a reason without code":      raw(0, 0, 0, 1, "a", "", "", ""),
		"a name to be shown":         raw(0, 0, 0, 1, "a\x1b[2J", "b", "", ""),
		"a code in capitals":         raw(0, 0, 0, 1, "a", "B", "", ""),
		"a long name":                raw(0, 0, 0, 1, long[:maxName+1], "b", "", ""),
		"a long code":                raw(0, 0, 0, 1, "a", long[:maxName+1], "", ""),
		"a long text":                raw(0, 0, 0, 1, "a", "b", long, ""),
		"another long text":          raw(0, 0, 0, 1, "a", "b", "", long),
		"a text for terminals":       raw(0, 0, 0, 1, "a", "b", "\x1b]0;x\a", ""),
		"another one":                raw(0, 0, 0, 1, "a", "b", "", "x\ny"),
	} {
		var b bytes.Buffer
		if err := write(&b, answer, payload); err != nil {
			t.Fatal(err)
		}
		if a, err := ReadAnswer(&b, 2); err == nil || !reflect.DeepEqual(a, Answer{}) {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
	if _, err := ReadAnswer(bytes.NewReader(frame(answer, raw(1, 1, 0, 0))), 2); err != nil {
		t.Errorf("a good one, by the same way: %v", err)
	}
	var b bytes.Buffer
	if err := WriteAnswer(&b, Answer{}); err == nil || b.Len() != 0 {
		t.Errorf("the zero answer was sent: %v", err)
	}
}

func frame(m message, payload []byte) []byte {
	var b bytes.Buffer
	_ = write(&b, m, payload)
	return b.Bytes()
}

// counting fails the test if more is read than a header.
type counting struct {
	io.Reader
	n int
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += n
	return n, err
}

// TestFrames: a message of another kind, of another version, or that says it is
// longer than any can be, is refused by its first nine bytes.
func TestFrames(t *testing.T) {
	for name, text := range map[string]string{
		"another message": "BBV1Q\x00\x00\x00\x0c\x01" + strings.Repeat("\x00", 11),
		"another version": "BBV2A\x00\x00\x00\x0c",
		"the gate":        "BBG1\x01\x00\x00\x00\x00",
		"too long":        "BBV1A\x00\x01\x00\x00",
		"far too long":    "BBV1A\xff\xff\xff\xff",
	} {
		r := &counting{Reader: io.MultiReader(strings.NewReader(text), bytes.NewReader(make([]byte, 1<<20)))}
		if _, err := ReadAnswer(r, 1); err == nil || r.n != headerSize {
			t.Errorf("%s: read %d bytes, %v", name, r.n, err)
		}
	}
	for _, cut := range []int{0, 1, headerSize - 1, headerSize, headerSize + 3} {
		if _, err := ReadAnswer(bytes.NewReader(frame(answer, raw(1, 0, 0, 0))[:cut]), 1); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut off after %d bytes: %v", cut, err)
		}
	}
	if err := ReadReady(strings.NewReader("BBV1R\x00\x00\x00\x01x")); err == nil {
		t.Error("ready, and something else")
	}
}

// TestRefused: reasons are cut to what may be sent, and there is always one.
func TestRefused(t *testing.T) {
	many := make([]attest.Check, MaxChecks+5)
	for i := range many {
		many[i] = attest.Check{Name: "a.b", Code: "c", Seen: strings.Repeat("\x1b", 1000), Expected: "ü"}
	}
	for name, checks := range map[string][]attest.Check{
		"none":          nil,
		"none failed":   {{Name: "a", Status: attest.Pass}, {Name: "b", Status: attest.Skip}},
		"many":          many,
		"without names": {{Seen: "x"}},
	} {
		a := Refused(checks)
		var b bytes.Buffer
		if err := WriteAnswer(&b, a); err != nil || a.Accepted {
			t.Errorf("%s: %v", name, err)
		}
	}
	if a := Refused(many); len(a.Failed) != MaxChecks || a.Failed[0].Seen != strings.Repeat("?", MaxText) || strings.Contains(a.Failed[0].Expected, "ü") {
		t.Errorf("%d reasons, %q", len(a.Failed), a.Failed[0])
	}
	for _, c := range []attest.Check{{Name: "A", Code: "c", Seen: "x"}, {Name: "a", Code: "C", Seen: "x"}} {
		if a := Refused([]attest.Check{c}); len(a.Failed) != 1 || a.Failed[0] != (attest.Check{Name: "hardware.evidence", Code: attest.CodeMalformed, Seen: "x"}) {
			t.Errorf("%+v", a)
		}
	}
	mixed := Refused([]attest.Check{{Name: "a", Status: attest.Pass}, {Name: "b", Code: "c"}})
	if len(mixed.Failed) != 1 || mixed.Failed[0].Name != "b" {
		t.Errorf("%+v", mixed)
	}
}

// rawQuestion is a question as a program writes it that validates nothing.
func rawQuestion(references int, kind string, measurement, statement, bundle []byte, more ...byte) []byte {
	b := binary.BigEndian.AppendUint64(nil, 1e18)
	b = appendShort(b, statement)
	b = binary.BigEndian.AppendUint16(b, uint16(references))
	for range references {
		b = appendShort(b, []byte(kind))
		b = appendShort(b, measurement)
		b = append(append(b, bytes.Repeat([]byte{2}, 32)...), make([]byte, 32)...)
	}
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(bundle))), bundle...)
	return append(b, more...)
}

// TestQuestionUnread: what the other end could never have been asked is not read.
func TestQuestionUnread(t *testing.T) {
	one := []byte{1}
	for name, payload := range map[string][]byte{
		"":                    rawQuestion(2, "sev-snp", one, one, one),
		"bytes after the end": rawQuestion(1, "sev-snp", one, one, one, 0),
		"no kind of ours":     rawQuestion(1, "sev", one, one, one),
		"no references":       rawQuestion(0, "sev-snp", one, one, one),
		"too many":            rawQuestion(MaxReferences+1, "sev-snp", one, one, one),
		"no statement":        rawQuestion(1, "sev-snp", one, nil, one),
		"a long statement":    rawQuestion(1, "sev-snp", one, make([]byte, attest.MaxStatement+1), one),
		"a long measurement":  rawQuestion(1, "sev-snp", make([]byte, maxMeasurement+1), one, one),
		"no bundle":           rawQuestion(1, "sev-snp", one, one, nil),
		"a simulated one":     rawQuestion(1, "sim-sev-snp", one, one, one),
		"cut off":             rawQuestion(1, "sev-snp", one, one, make([]byte, 100))[:60],
	} {
		q, err := ReadQuestion(bytes.NewReader(frame(question, payload)))
		if name == "" {
			if err != nil || len(q.References) != 2 {
				t.Errorf("a good one: %+v, %v", q, err)
			}
			continue
		}
		if err == nil || !reflect.DeepEqual(q, Question{}) {
			t.Errorf("%s: %+v, %v", name, q, err)
		}
	}
}

// TestAnswerUnsent: a verifier that is itself cannot say what nobody would read.
func TestAnswerUnsent(t *testing.T) {
	failed := []attest.Check{{Name: "a", Code: "b"}}
	for name, a := range map[string]Answer{
		"a reference before the first":  {Accepted: true, Reference: -1},
		"a reference behind the last":   {Accepted: true, Reference: MaxReferences},
		"an end before 1970":            {Accepted: true, Until: time.Unix(-1, 0)},
		"an end that is the first hour": {Accepted: true, Until: time.Unix(0, 0)},
		"no, with a passed check":       {Failed: append([]attest.Check{{Name: "a", Code: "b", Status: attest.Pass}}, failed...)},
		"no, with a skipped check":      {Failed: []attest.Check{{Name: "a", Code: "b", Status: attest.Skip}}},
		"no, with too many":             {Failed: make([]attest.Check, MaxChecks+1)},
	} {
		var b bytes.Buffer
		if err := WriteAnswer(&b, a); err == nil || b.Len() != 0 {
			t.Errorf("%s: sent %d bytes, %v", name, b.Len(), err)
		}
	}
}

// TestBrokenPipe: what could not be sent is not taken for sent.
func TestBrokenPipe(t *testing.T) {
	r, w := io.Pipe()
	r.Close()
	for name, err := range map[string]error{
		"ready": WriteReady(w), "question": WriteQuestion(w, goodQuestion()), "answer": WriteAnswer(w, goodAnswers()["yes"]),
	} {
		if !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzQuestion is what the verifier reads. FuzzAnswer is what the box reads of a
// verifier that has been taken over.
func FuzzQuestion(f *testing.F) {
	good, err := goodQuestion().encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(frame(question, good))
	f.Add(frame(question, good[:20]))
	f.Add([]byte("BBV1Q\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := ReadQuestion(bytes.NewReader(data))
		if err != nil {
			if !reflect.DeepEqual(q, Question{}) {
				t.Fatal("a question and an error")
			}
			return
		}
		again, err := q.encode()
		if err != nil || !bytes.HasPrefix(data, frame(question, again)) {
			t.Fatalf("a question has two spellings (%v)", err)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	for _, a := range goodAnswers() {
		good, err := a.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame(answer, good), byte(2))
	}
	f.Add([]byte("BBV1A\x00\x00\x00\x00"), byte(0))
	f.Fuzz(func(t *testing.T, data []byte, references byte) {
		a, err := ReadAnswer(bytes.NewReader(data), int(references))
		if err != nil {
			if !reflect.DeepEqual(a, Answer{}) {
				t.Fatal("an answer and an error")
			}
			return
		}
		if a.Accepted && a.Reference >= int(references) || a.Accepted == (len(a.Failed) > 0) {
			t.Fatalf("%+v", a)
		}
		if int(references) > MaxReferences {
			return
		}
		again, err := a.encode()
		if err != nil || !bytes.HasPrefix(data, frame(answer, again)) {
			t.Fatalf("an answer has two spellings (%v)", err)
		}
	})
}
