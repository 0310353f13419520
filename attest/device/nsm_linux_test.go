package device

import (
	"bytes"
	"crypto/sha512"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/nitro"
)

// module imitates the Nitro Security Module: 32 registers, the first 16 of them
// locked, and documents that a fake AWS signs. It reads and writes CBOR with a
// library that has nothing in common with the driver.
type module struct {
	t      testing.TB
	mu     sync.Mutex
	pcrs   [32][48]byte
	locked [32]bool
	names  []string // of the requests so far
	// stream writes maps with indefinite length.
	stream bool
	// meddle may change an answer, or replace it by an error.
	meddle func(name string, answer []byte) ([]byte, error)
	// userData is what documents are over instead of what was asked for.
	userData []byte
}

func newModule(t testing.TB) *module {
	m := &module{t: t}
	for i := range 16 {
		m.locked[i] = true
	}
	for _, i := range []uint64{0, 1, 2, 4, 8} {
		m.pcrs[i] = attesttest.EnclavePCR(i)
	}
	return m
}

func (m *module) request(req []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var body map[string]map[string]any
	if err := cbor.Unmarshal(req, &body); err != nil || len(body) != 1 {
		m.t.Errorf("request %x: %v", req, err)
		return nil, syscall.EINVAL
	}
	for name, fields := range body {
		m.names = append(m.names, name)
		answer := m.encode(m.answer(name, fields))
		if m.meddle != nil {
			return m.meddle(name, answer)
		}
		return answer, nil
	}
	return nil, nil
}

func (m *module) encode(answer any) []byte {
	data, err := cbor.Marshal(answer)
	if err != nil {
		m.t.Error(err)
	}
	if fields, ok := answer.(map[string]any); ok && m.stream {
		data = []byte{0xbf}
		for name, value := range fields {
			inner, _ := cbor.Marshal(value)
			inner[0] = 0xbf // a map of fewer than 24 pairs
			key, _ := cbor.Marshal(name)
			data = append(append(append(data, key...), inner...), 0xff)
		}
		data = append(data, 0xff)
	}
	return data
}

func (m *module) answer(name string, fields map[string]any) any {
	fail := func(reason string) any { return map[string]string{"Error": reason} }
	ok := func(fields map[string]any) any { return map[string]any{name: fields} }
	if name == "Attestation" {
		return ok(map[string]any{"document": m.document(fields)})
	}
	n, isNumber := fields["index"].(uint64)
	if !isNumber || n > 31 {
		return fail("InvalidIndex")
	}
	switch name {
	case "DescribePCR":
		return ok(map[string]any{"lock": m.locked[n], "data": m.pcrs[n][:]})
	case "ExtendPCR":
		data, isBytes := fields["data"].([]byte)
		if !isBytes {
			return fail("InvalidArgument")
		}
		if m.locked[n] {
			return fail("ReadOnlyIndex")
		}
		m.pcrs[n] = sha512.Sum384(append(m.pcrs[n][:], data...))
		return ok(map[string]any{"data": m.pcrs[n][:]})
	case "LockPCR":
		if m.locked[n] {
			return fail("ReadOnlyIndex")
		}
		m.locked[n] = true
		return "LockPCR"
	}
	return fail("InvalidOperation")
}

func (m *module) document(fields map[string]any) []byte {
	asked, isBytes := fields["user_data"].([]byte)
	if !isBytes || len(fields) != 3 || fields["nonce"] != nil || fields["public_key"] != nil {
		m.t.Errorf("request of a document with %v", fields)
	}
	if m.userData != nil {
		asked = m.userData
	}
	var userData [64]byte
	copy(userData[:], asked)
	var opts []attesttest.EnclaveOption
	for i, locked := range m.locked {
		if locked {
			opts = append(opts, attesttest.SetPCR(uint64(i), m.pcrs[i][:]))
		}
	}
	return attesttest.NewAWS().Make(m.t, userData, opts...).Data
}

func nsmBound(t testing.TB) attest.Bound {
	t.Helper()
	at := attesttest.Epoch()
	b, err := attest.Statement{
		Purpose: attest.PurposeSession, Role: attest.RoleServer, Nonce: [32]byte{1}, SPKI: attest.Digest{2}, Exporter: [32]byte{3},
		Policy: attest.Digest{4}, NotBefore: at, NotAfter: at.Add(time.Minute),
	}.Bind()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestNSM goes the whole way: the box binds its policy and asks for a document,
// the relying party verifies it and finds both.
func TestNSM(t *testing.T) {
	for _, stream := range []bool{false, true} {
		m := newModule(t)
		m.stream = stream
		policy := attest.Digest{9, 9}
		a, bound := newNSM(m), nsmBound(t)
		if err := a.BindPolicy(policy); err != nil {
			t.Fatal(err)
		}
		ev, end, err := a.Attest(t.Context(), bound)
		if err != nil || len(end) != 0 || ev.Kind != attest.Nitro || a.Kind() != attest.Nitro {
			t.Fatalf("evidence of kind %s with %d endorsements: %v", ev.Kind, len(end), err)
		}
		v, err := nitro.NewVerifierWithRoots(attesttest.NewAWS().Root(t))
		if err != nil {
			t.Fatal(err)
		}
		claims, err := v.Verify(ev, end, attesttest.Epoch())
		if err != nil {
			t.Fatal(err)
		}
		want := sha512.Sum384(append(make([]byte, 48), policy[:]...))
		if !claims.Proves(bound) || !bytes.Equal(claims.LaunchDigest, want[:]) {
			t.Errorf("claims %+v", claims)
		}
		if got := strings.Join(m.names, " "); got != "DescribePCR ExtendPCR LockPCR DescribePCR Attestation" {
			t.Errorf("requests %s", got)
		}
	}
}

func TestNSMRefusesTheZeroBound(t *testing.T) {
	m := newModule(t)
	if _, _, err := inTurns(nsm{m}).Attest(t.Context(), attest.Bound{}); err == nil || len(m.names) != 0 {
		t.Errorf("error %v after requests %v", err, m.names)
	}
}

// TestNSMAnswers holds that nothing but a document over the 64 bytes comes out.
func TestNSMAnswers(t *testing.T) {
	text, _ := cbor.Marshal("Attestation")
	for name, meddle := range map[string]func(answer []byte) ([]byte, error){
		"device error": func([]byte) ([]byte, error) { return nil, syscall.EIO },
		"nothing":      func([]byte) ([]byte, error) { return nil, nil },
		"module error": func([]byte) ([]byte, error) { return cbor.Marshal(map[string]string{"Error": "InternalError"}) },
		"name alone":   func([]byte) ([]byte, error) { return text, nil },
		"other answer": func([]byte) ([]byte, error) {
			return cbor.Marshal(map[string]any{"GetRandom": map[string]any{"random": []byte{1}}})
		},
		"two answers": func([]byte) ([]byte, error) {
			return cbor.Marshal(map[string]any{"Attestation": map[string]any{"document": []byte{1}}, "Other": 1})
		},
		"cut":         func(a []byte) ([]byte, error) { return a[:len(a)-1], nil },
		"trailing":    func(a []byte) ([]byte, error) { return append(a, 0), nil },
		"too long":    func(a []byte) ([]byte, error) { return append(a, make([]byte, nsmResponseMax)...), nil },
		"tagged":      func(a []byte) ([]byte, error) { return append([]byte{0xd2}, a...), nil },
		"no map":      func([]byte) ([]byte, error) { return cbor.Marshal(map[string]any{"Attestation": 1}) },
		"no document": func([]byte) ([]byte, error) { return cbor.Marshal(map[string]any{"Attestation": map[string]any{}}) },
		"text": func([]byte) ([]byte, error) {
			return cbor.Marshal(map[string]any{"Attestation": map[string]any{"document": "x"}})
		},
		"empty document": func([]byte) ([]byte, error) {
			return cbor.Marshal(map[string]any{"Attestation": map[string]any{"document": []byte{}}})
		},
		"three parts":  func([]byte) ([]byte, error) { return nsmDocument([]any{1, 2, 3}) },
		"payload text": func([]byte) ([]byte, error) { return nsmDocument([]any{[]byte{}, map[int]int{}, "x", []byte{}}) },
		"no user data": func([]byte) ([]byte, error) {
			return nsmDocument([]any{[]byte{}, map[int]int{}, []byte{0xa0}, []byte{}})
		},
		"deep": func([]byte) ([]byte, error) { return append(bytes.Repeat([]byte{0x81}, 5000), 0), nil },
		"deep value": func([]byte) ([]byte, error) {
			return append(append([]byte{0xa1, 0x61, 'x'}, bytes.Repeat([]byte{0x81}, 5000)...), 0), nil
		},
		"huge map": func([]byte) ([]byte, error) { return []byte{0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, nil },
		"huge string": func([]byte) ([]byte, error) {
			return []byte{0xa1, 0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, nil
		},
		"field twice": func([]byte) ([]byte, error) { return []byte{0xa2, 0x61, 'x', 1, 0x61, 'x', 1}, nil },
		"endless":     func([]byte) ([]byte, error) { return []byte{0xbf, 0x61, 'x', 1}, nil },
	} {
		m := newModule(t)
		m.meddle = func(_ string, answer []byte) ([]byte, error) { return meddle(answer) }
		ev, end, err := inTurns(nsm{m}).Attest(t.Context(), nsmBound(t))
		if !errors.Is(err, attest.ErrUnavailable) || ev.Data != nil || end != nil {
			t.Errorf("%s: evidence of %d bytes, error %v", name, len(ev.Data), err)
		}
	}
}

func nsmDocument(parts []any) ([]byte, error) {
	document, err := cbor.Marshal(parts)
	if err != nil {
		return nil, err
	}
	return cbor.Marshal(map[string]any{"Attestation": map[string]any{"document": document}})
}

func TestNSMOverOtherBytes(t *testing.T) {
	m := newModule(t)
	m.userData = bytes.Repeat([]byte{6}, 64)
	_, _, err := inTurns(nsm{m}).Attest(t.Context(), nsmBound(t))
	if !errors.Is(err, attest.ErrUnavailable) || !strings.Contains(err.Error(), "expected") {
		t.Errorf("error %v", err)
	}
}

func TestNSMTriesAgain(t *testing.T) {
	m, tries := newModule(t), 0
	m.meddle = func(_ string, answer []byte) ([]byte, error) {
		if tries++; tries < 3 {
			return nil, syscall.EAGAIN
		}
		return answer, nil
	}
	a := inTurns(nsm{m})
	a.pause = time.Microsecond
	if _, _, err := a.Attest(t.Context(), nsmBound(t)); err != nil || tries != 3 {
		t.Errorf("%d tries: %v", tries, err)
	}
}

func TestBindPolicy(t *testing.T) {
	digest := attest.Digest{1}
	sum := sha512.Sum384(append(make([]byte, 48), digest[:]...))
	for name, c := range map[string]struct {
		setUp func(*module)
		ok    bool
	}{
		"fresh":               {func(*module) {}, true},
		"again":               {func(m *module) { m.pcrs[16], m.locked[16] = sum, true }, true},
		"extended, open":      {func(m *module) { m.pcrs[16] = sum }, false},
		"locked, empty":       {func(m *module) { m.locked[16] = true }, false},
		"locked, other":       {func(m *module) { m.pcrs[16], m.locked[16] = [48]byte{1}, true }, false},
		"extended by another": {func(m *module) { m.pcrs[16] = [48]byte{1} }, false},
		"raced":               {func(m *module) { m.meddle = extendedBefore(m) }, false},
		"not locked":          {func(m *module) { m.meddle = unlocked(m) }, false},
		"describe fails":      {func(m *module) { m.meddle = failOn("DescribePCR") }, false},
		"extend fails":        {func(m *module) { m.meddle = failOn("ExtendPCR") }, false},
		"lock fails":          {func(m *module) { m.meddle = failOn("LockPCR") }, false},
		"lock is a number": {func(m *module) {
			m.meddle = func(string, []byte) ([]byte, error) {
				return cbor.Marshal(map[string]any{"DescribePCR": map[string]any{"lock": 0, "data": make([]byte, 48)}})
			}
		}, false},
		"no register": {func(m *module) {
			m.meddle = func(string, []byte) ([]byte, error) {
				return cbor.Marshal(map[string]any{"DescribePCR": map[string]any{"lock": false}})
			}
		}, false},
	} {
		m := newModule(t)
		c.setUp(m)
		err := nsm{m}.bindPolicy(digest)
		if (err == nil) != c.ok {
			t.Errorf("%s: error %v", name, err)
		}
		if c.ok && (m.pcrs[16] != sum || !m.locked[16]) {
			t.Errorf("%s: PCR16 %x, locked %t", name, m.pcrs[16], m.locked[16])
		}
	}
	m := newModule(t)
	if err := (nsm{m}).bindPolicy(attest.Digest{}); err == nil || len(m.names) != 0 {
		t.Errorf("zero digest: error %v after requests %v", err, m.names)
	}
}

// extendedBefore has somebody else extend the register just before the box.
func extendedBefore(m *module) func(string, []byte) ([]byte, error) {
	return func(name string, answer []byte) ([]byte, error) {
		if name != "ExtendPCR" {
			return answer, nil
		}
		return cbor.Marshal(map[string]any{"ExtendPCR": map[string]any{"data": make([]byte, 48)}})
	}
}

// unlocked answers a lock and does not do it.
func unlocked(m *module) func(string, []byte) ([]byte, error) {
	return func(name string, answer []byte) ([]byte, error) {
		if name == "LockPCR" {
			m.locked[16] = false
		}
		return answer, nil
	}
}

func failOn(name string) func(string, []byte) ([]byte, error) {
	return func(asked string, answer []byte) ([]byte, error) {
		if asked == name {
			return cbor.Marshal(map[string]string{"Error": "ReadOnlyIndex"})
		}
		return answer, nil
	}
}

// TestNSMFile holds that a file that is no such device is an error. The device
// itself is only in an enclave.
func TestNSMFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nsm")
	if _, err := nsmFile(file).request([]byte{1}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := openNSM(file)
	if err != nil {
		t.Fatal(err)
	}
	binder, ok := a.(interface{ BindPolicy(attest.Digest) error })
	if !ok {
		t.Fatal("the attester cannot bind a policy")
	}
	if err := binder.BindPolicy(attest.Digest{1}); !errors.Is(err, attest.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	if _, _, err := a.Attest(t.Context(), nsmBound(t)); !errors.Is(err, syscall.ENOTTY) || !errors.Is(err, attest.ErrUnavailable) {
		t.Errorf("error %v, want ENOTTY", err)
	}
	if _, err := nsmFile(file).request(nil); err == nil {
		t.Error("an empty request was sent")
	}
}

// FuzzNSMAnswer holds that no answer makes the driver fail in another way than
// by saying so.
func FuzzNSMAnswer(f *testing.F) {
	m := newModule(f)
	userData := nsmBound(f).Bytes()
	req, _ := cbor.Marshal(map[string]any{"Attestation": map[string]any{"user_data": userData[:], "nonce": nil, "public_key": nil}})
	answer, err := m.request(req)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(answer)
	f.Add([]byte{0xbf, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		device := newModule(t)
		device.meddle = func(string, []byte) ([]byte, error) { return data, nil }
		ev, _, err := nsm{device}.once(nsmBound(t))
		if (err == nil) == (ev.Data == nil) {
			t.Fatalf("evidence of %d bytes, error %v", len(ev.Data), err)
		}
	})
}
