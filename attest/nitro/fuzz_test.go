package nitro_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/internal/awsforge"
	"github.com/blindbox/blindbox/attest/nitro"
)

// theirs is a document as an independent decoder reads it.
type theirs struct {
	ModuleID    string            `cbor:"module_id"`
	Digest      string            `cbor:"digest"`
	Timestamp   uint64            `cbor:"timestamp"`
	PCRs        map[uint64][]byte `cbor:"pcrs"`
	Certificate []byte            `cbor:"certificate"`
	CABundle    [][]byte          `cbor:"cabundle"`
	PublicKey   []byte            `cbor:"public_key"`
	UserData    []byte            `cbor:"user_data"`
	Nonce       []byte            `cbor:"nonce"`
}

// message is a COSE_Sign1 as an independent decoder reads it.
type message struct {
	_           struct{} `cbor:",toarray"`
	Protected   []byte
	Unprotected map[any]any
	Payload     []byte
	Signature   []byte
}

// decode reads a document with fxamacker/cbor, which must agree that there is
// one and that no key is in it twice.
func decode(t testing.TB, data []byte) (message, theirs) {
	t.Helper()
	mode, err := cbor.DecOptions{DupMapKey: cbor.DupMapKeyEnforcedAPF, TagsMd: cbor.TagsForbidden}.DecMode()
	if err != nil {
		t.Fatal(err)
	}
	var m message
	if err := mode.Unmarshal(data, &m); err != nil {
		t.Fatalf("the other decoder refuses the message: %v", err)
	}
	var d theirs
	if err := mode.Unmarshal(m.Payload, &d); err != nil {
		t.Fatalf("the other decoder refuses the payload: %v", err)
	}
	return m, d
}

// encode writes the values with the encoder that was written apart from both
// decoders, in the order of fields that the payload has.
func encode(t testing.TB, m message, d theirs) []byte {
	t.Helper()
	order := orderOf(t, m.Payload)
	doc := awsforge.Document{
		ModuleID: d.ModuleID, Digest: d.Digest, Timestamp: d.Timestamp, PCRs: d.PCRs, Certificate: d.Certificate, CABundle: d.CABundle,
		PublicKey: d.PublicKey, UserData: d.UserData, Nonce: d.Nonce, Definite: m.Payload[0] != 0xbf,
	}
	doc.Edit = func(fields []awsforge.Pair) []awsforge.Pair {
		var out []awsforge.Pair
		for _, name := range order {
			for _, f := range fields {
				if bytes.Equal(f.Key, awsforge.Text(name)) {
					out = append(out, f)
				}
			}
		}
		return out
	}
	again := awsforge.NewMessage(doc.Encode())
	again.Signature = m.Signature
	return again.Encode()
}

// orderOf returns the names of the payload's fields as they stand there.
func orderOf(t testing.TB, payload []byte) []string {
	t.Helper()
	rest := payload[1:]
	var out []string
	for len(rest) > 0 && rest[0] != 0xff {
		var name string
		var value cbor.RawMessage
		var err error
		if rest, err = cbor.UnmarshalFirst(rest, &name); err != nil {
			t.Fatal(err)
		}
		if rest, err = cbor.UnmarshalFirst(rest, &value); err != nil {
			t.Fatal(err)
		}
		out = append(out, name)
	}
	return out
}

// sortedRegisters reports whether the registers stand in rising order, as the
// encoder writes them. The format does not ask for it.
func sortedRegisters(t testing.TB, payload []byte) bool {
	t.Helper()
	var raw struct {
		PCRs cbor.RawMessage `cbor:"pcrs"`
	}
	if err := cbor.Unmarshal(payload, &raw); err != nil {
		t.Fatal(err)
	}
	var pcrs map[uint64][]byte
	if err := cbor.Unmarshal(raw.PCRs, &pcrs); err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(raw.PCRs, awsforge.Document{PCRs: pcrs}.Registers())
}

// same expects two decoders and an encoder, written apart, to agree on a
// document that was accepted.
func same(t testing.TB, data []byte, ours *nitro.Document) {
	t.Helper()
	m, d := decode(t, data)
	pcrs := make(map[int]nitro.PCR)
	for i, v := range d.PCRs {
		if len(v) != nitro.PCRSize {
			t.Fatalf("PCR%d of %d bytes was accepted", i, len(v))
		}
		pcrs[int(i)] = nitro.PCR(v)
	}
	if len(m.Unprotected) != 0 || len(m.Signature) != 96 || d.Digest != "SHA384" {
		t.Errorf("message %+v, digest %q", m, d.Digest)
	}
	if ours.ModuleID != d.ModuleID || uint64(ours.Timestamp.UnixMilli()) != d.Timestamp || !reflect.DeepEqual(ours.PCRs, pcrs) ||
		!bytes.Equal(ours.Certificate, d.Certificate) || !reflect.DeepEqual(ours.CABundle, d.CABundle) ||
		!reflect.DeepEqual(ours.PublicKey, d.PublicKey) || !reflect.DeepEqual(ours.UserData, d.UserData) || !reflect.DeepEqual(ours.Nonce, d.Nonce) {
		t.Errorf("fields differ:\n%+v\n%+v", ours, d)
	}
	if got := encode(t, m, d); sortedRegisters(t, m.Payload) && !bytes.Equal(got, data) {
		t.Errorf("encoded again:\n%x\nwas\n%x", got, data)
	}
}

// TestEncodersAgree holds that both captures, decoded by one library and encoded
// by another, are the same bytes.
func TestEncodersAgree(t *testing.T) {
	for _, c := range captures {
		data := c.evidence(t).Data
		d, err := nitro.ParseDocument(data)
		if err != nil {
			t.Fatal(err)
		}
		m, their := decode(t, data)
		if !bytes.Equal(encode(t, m, their), data) {
			t.Errorf("%s: other bytes when encoded again", c.name)
		}
		same(t, data, d)
	}
}

// seeds adds real documents, what is around them, and every case; it returns the
// cases, whose keys are new each time.
func seeds(f *testing.F) []attesttest.Vector {
	for _, c := range captures {
		f.Add(c.evidence(f).Data)
		f.Add(vector(f, c.name+".cose"))
		f.Add(vector(f, c.name+".raw.bin"))
	}
	vectors := attesttest.NitroVectors(f)
	for _, v := range vectors {
		f.Add(v.Evidence.Data)
	}
	return vectors
}

// FuzzParseDocument compares what the parser accepts with an independent decoder
// and an independent encoder.
func FuzzParseDocument(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := nitro.ParseDocument(data)
		if (d == nil) == (err == nil) {
			t.Fatalf("document %v, error %v", d, err)
		}
		if err == nil {
			same(t, data, d)
		}
	})
}

// FuzzSplit holds that a document that is cut out is one, and that nothing is
// lost.
func FuzzSplit(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		document, rest, err := nitro.Split(data)
		if err != nil {
			if document != nil || rest != nil {
				t.Fatal("both bytes and an error")
			}
			return
		}
		if !bytes.Equal(append(bytes.Clone(document), rest...), data) {
			t.Error("bytes lost")
		}
		if again, more, err := nitro.Split(document); err != nil || len(more) != 0 || !bytes.Equal(again, document) {
			t.Errorf("the document is not one: %v", err)
		}
	})
}

// FuzzVerify holds that nothing verifies but what hardware signed, whatever is
// changed in it.
func FuzzVerify(f *testing.F) {
	vectors := seeds(f)
	signed := make(map[string]bool)
	payload := func(data []byte) string { return string(data[:max(0, len(data)-96)]) }
	for _, c := range captures {
		signed[payload(c.evidence(f).Data)] = true
	}
	for _, v := range vectors {
		// What is refused for its label or for the time alone is signed all the same.
		if v.Stage != attesttest.StageVerify || v.Check == "hardware.validity" || v.Check == "hardware.kind" {
			signed[payload(v.Evidence.Data)] = true
		}
	}
	first, err := nitro.ParseDocument(production.evidence(f).Data)
	if err != nil {
		f.Fatal(err)
	}
	v, err := nitro.NewVerifierWithRoots(attesttest.NewAWS().Root(f), first.CABundle[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		// A good document is good at the time it names; where it names none, the
		// verifier must not care.
		times := map[time.Time]bool{attesttest.Epoch(): true}
		if d, err := nitro.ParseDocument(data); err == nil {
			times[d.Timestamp] = true
		}
		for at := range times {
			claims, err := v.Verify(attest.Evidence{Kind: attest.Nitro, Data: data}, nil, at)
			if (claims == nil) == (err == nil) {
				t.Fatalf("claims %v, error %v", claims, err)
			}
			if err == nil && !signed[payload(data)] {
				t.Fatal("verified what no hardware signed")
			}
			var f *attest.Failure
			if err != nil && (!errors.As(err, &f) || f.Code() == "") {
				t.Fatalf("refused without a code: %v", err)
			}
		}
	})
}
