package device

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/form"
)

// tree imitates files in memory: device nodes, pseudo-files and logs.
type tree struct {
	mu      sync.Mutex
	content map[string][]byte
	// written is called after a write, with mu held.
	written func(path string, data []byte)
	dial    func(path string) (io.ReadWriteCloser, error)
}

func (t *tree) stat(p string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name := range t.content {
		if name == p || strings.HasPrefix(name, p+"/") {
			return nil
		}
	}
	return &fs.PathError{Op: "stat", Path: p, Err: syscall.ENOENT}
}

func (t *tree) mkdir(p string) error { return &fs.PathError{Op: "mkdir", Path: p, Err: syscall.ENOENT} }
func (t *tree) rmdir(p string) error { return &fs.PathError{Op: "rmdir", Path: p, Err: syscall.ENOENT} }

func (t *tree) read(p string, limit int) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.content[p]
	switch {
	case !ok:
		return nil, &fs.PathError{Op: "open", Path: p, Err: syscall.ENOENT}
	case len(v) > limit:
		return nil, &fs.PathError{Op: "read", Path: p, Err: syscall.EFBIG}
	}
	return bytes.Clone(v), nil
}

func (t *tree) write(p string, data []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.content[p]; !ok {
		return &fs.PathError{Op: "open", Path: p, Err: syscall.ENOENT}
	}
	t.content[p] = bytes.Clone(data)
	if t.written != nil {
		t.written(p, data)
	}
	return nil
}

func (t *tree) open(p string) (io.ReadWriteCloser, error) {
	if t.dial == nil {
		return nil, &fs.PathError{Op: "open", Path: p, Err: syscall.ENOENT}
	}
	return t.dial(p)
}

// fakeQuote is a quote with nothing in it but what the box looks at.
func fakeQuote(version uint16, tee uint32, body uint16, reportData []byte) []byte {
	q := make([]byte, 2000)
	binary.LittleEndian.PutUint16(q, version)
	binary.LittleEndian.PutUint32(q[4:], tee)
	at := 48
	if version == 5 {
		binary.LittleEndian.PutUint16(q[48:], body)
		at += 6
	}
	if tee == teeTDX {
		at += 520
	} else {
		at += 320
	}
	copy(q[at:], reportData)
	return q
}

// gramineTree is an enclave whose quote is over what was written.
func gramineTree(make func(reportData []byte) []byte) *tree {
	t := &tree{content: map[string][]byte{
		gramineDir + "/attestation_type": []byte("dcap"), gramineDir + "/user_report_data": make(nil), gramineDir + "/quote": nil,
	}}
	t.written = func(p string, data []byte) {
		if p == gramineDir+"/user_report_data" {
			t.content[gramineDir+"/quote"] = make(data)
		}
	}
	return t
}

func TestGramine(t *testing.T) {
	b := bound(t)
	want := b.Bytes()
	for _, version := range []uint16{3, 4, 5} {
		files := gramineTree(func(d []byte) []byte { return fakeQuote(version, teeSGX, bodySGX, d) })
		a, err := open(files, Options{})
		if err != nil {
			t.Fatal(err)
		}
		ev, end, err := a.Attest(t.Context(), b)
		if err != nil || ev.Kind != attest.SGX || a.Kind() != attest.SGX || end != nil || !bytes.Equal(ev.Data, fakeQuote(version, teeSGX, bodySGX, want[:])) {
			t.Errorf("version %d: %v %v", version, ev.Kind, err)
		}
	}
}

func TestGramineRefuses(t *testing.T) {
	good := func(d []byte) []byte { return fakeQuote(3, teeSGX, 0, d) }
	for name, c := range map[string]struct {
		make func([]byte) []byte
		set  func(*tree)
		text string
	}{
		"EPID":              {good, func(t *tree) { t.content[gramineDir+"/attestation_type"] = []byte("epid\n") }, `attestation_type is "epid"`},
		"none":              {good, func(t *tree) { t.content[gramineDir+"/attestation_type"] = []byte("none") }, `attestation_type is "none"`},
		"no type":           {good, func(t *tree) { delete(t.content, gramineDir+"/attestation_type") }, "no such file"},
		"nothing to write":  {good, func(t *tree) { delete(t.content, gramineDir+"/user_report_data") }, "no such file"},
		"no quote":          {good, func(t *tree) { t.written = func(string, []byte) { delete(t.content, gramineDir+"/quote") } }, "no such file"},
		"other report data": {func([]byte) []byte { return fakeQuote(3, teeSGX, 0, []byte("other")) }, nil, "the quote is over 6f74686572"},
		"TDX":               {func(d []byte) []byte { return fakeQuote(4, teeTDX, 0, d) }, nil, "TEE type 0x81, expected 0x0"},
		"version 2":         {func(d []byte) []byte { return fakeQuote(2, teeSGX, 0, d) }, nil, "version 2"},
		"TD body":           {func(d []byte) []byte { return fakeQuote(5, teeSGX, bodyTDX15, d) }, nil, "body of type 3"},
		"short":             {func([]byte) []byte { return make([]byte, 437) }, nil, "too short"},
		"long":              {func([]byte) []byte { return make([]byte, maxQuote+1) }, nil, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			files := gramineTree(c.make)
			if c.set != nil {
				c.set(files)
			}
			ev, end, err := newGramine(files).Attest(t.Context(), bound(t))
			expectUnavailable(t, ev, end, err, c.text)
		})
	}
	files := gramineTree(good)
	files.content[gramineDir+"/attestation_type"] = []byte("epid")
	if c := detectGramine(files); c.Usable() || !c.Present || !strings.Contains(c.Reason, "epid") {
		t.Errorf("EPID: %+v", c)
	}
}

func TestTDX(t *testing.T) {
	b := bound(t)
	want := b.Bytes()
	for _, q := range [][]byte{fakeQuote(4, teeTDX, 0, want[:]), fakeQuote(5, teeTDX, bodyTDX10, want[:]), fakeQuote(5, teeTDX, bodyTDX15, want[:])} {
		c := newConfigfs()
		c.provider, c.noFloor = providerTDX, true
		c.outblob = func(int, []byte) ([]byte, error) { return q, nil }
		ev, end, err := c.attester(t).Attest(t.Context(), b)
		// The certificates that some kernels offer are no TDX thing.
		if err != nil || ev.Kind != attest.TDX || !bytes.Equal(ev.Data, q) || end != nil {
			t.Errorf("%v %v %v", ev.Kind, end, err)
		}
	}
}

func TestTDXRefuses(t *testing.T) {
	b := bound(t)
	over := b.Bytes()
	cut := fakeQuote(4, teeTDX, 0, over[:])[:637]
	for name, c := range map[string]struct {
		quote []byte
		text  string
	}{
		"other report data":    {fakeQuote(4, teeTDX, 0, over[:63]), "the quote is over"},
		"an SNP report":        {make([]byte, snpReportSize), "TEE type 0x0, expected 0x81"},
		"an SGX quote":         {fakeQuote(4, teeSGX, 0, over[:]), "TEE type 0x0"},
		"version 3":            {fakeQuote(3, teeTDX, 0, over[:]), "version 3"},
		"version 6":            {fakeQuote(6, teeTDX, 0, over[:]), "version 6"},
		"version 5, SGX body":  {fakeQuote(5, teeTDX, bodySGX, over[:]), "body of type 1"},
		"version 5, body of 4": {fakeQuote(5, teeTDX, 4, over[:]), "body of type 4"},
		"cut off":              {cut, "too short"},
		"nothing":              {nil, "quote of 0 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := newConfigfs()
			fake.provider = providerTDX
			fake.outblob = func(int, []byte) ([]byte, error) { return c.quote, nil }
			ev, end, err := fake.attester(t).Attest(t.Context(), b)
			expectUnavailable(t, ev, end, err, c.text)
		})
	}
}

// TestEventLog: the log is stapled if it is there and within the limit.
func TestEventLog(t *testing.T) {
	files := &tree{content: map[string][]byte{pathCCEL: []byte("log"), pathTPMLog: make([]byte, attest.MaxEndorsement+1), "/empty": nil}}
	log, found, err := eventLog(files, pathCCEL).Get(attest.LabelEventLog)
	if err != nil || !found || string(log) != "log" {
		t.Errorf("log %q, %v, %v", log, found, err)
	}
	for _, p := range []string{pathTPMLog, "/empty", "/nowhere"} {
		if end := eventLog(files, p); end != nil {
			t.Errorf("%s: stapled %d bytes", p, len(end[0].Data))
		}
	}
}

func TestChoose(t *testing.T) {
	usable := func(kinds ...attest.Kind) Detection {
		var d Detection
		for _, k := range []attest.Kind{attest.SNP, attest.TDX, attest.TPM, attest.NVIDIAGPU} {
			c := Candidate{Kind: k, Path: "/x", Present: true, Reason: "off"}
			for _, u := range kinds {
				if u == k {
					c.Reason = ""
				}
			}
			d = append(d, c)
		}
		return d
	}
	type kinds = []attest.Kind
	for _, c := range []struct {
		name         string
		there, named kinds
		text         string
	}{
		{"the only one", kinds{attest.TDX}, nil, ""},
		{"nothing", nil, nil, "unavailable on this machine"},
		{"two, none named", kinds{attest.TDX, attest.TPM}, nil, "gives tdx and tpm: name the one"},
		{"two, one named", kinds{attest.TDX, attest.TPM}, kinds{attest.TDX}, ""},
		{"two, both named", kinds{attest.TDX, attest.TPM}, kinds{attest.TDX, attest.TPM}, ""},
		{"named and not there", kinds{attest.TDX}, kinds{attest.SNP}, "sev-snp was asked for"},
		{"one of two not there", kinds{attest.TDX}, kinds{attest.TDX, attest.TPM}, "tpm was asked for"},
		{"named twice", kinds{attest.TDX}, kinds{attest.TDX, attest.TDX}, "twice"},
		{"a GPU alone", kinds{attest.NVIDIAGPU}, nil, "unavailable on this machine"},
		{"a GPU first", kinds{attest.NVIDIAGPU, attest.TDX}, kinds{attest.NVIDIAGPU, attest.TDX}, "asked for first"},
		{"simulated", kinds{attest.TDX}, kinds{attest.SimSNP}, "no hardware gives"},
		{"invalid", kinds{attest.TDX}, kinds{0}, "no hardware gives"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := usable(c.there...).choose(c.named)
			if (err == nil) != (c.text == "") || err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("chose %v, %v, expected %q", got, err, c.text)
			}
			if err == nil && len(got) != max(1, len(c.named)) {
				t.Errorf("chose %v", got)
			}
		})
	}
}

// stub is an Attester of the test's.
type stub struct {
	kind attest.Kind
	end  attest.Endorsements
	err  error
}

func (s stub) Kind() attest.Kind { return s.kind }

// TestComposeParts: whole or nothing, in order.
func TestComposeParts(t *testing.T) {
	b := bound(t)
	gpus := func(n int) Parts {
		return func(_ context.Context, b attest.Bound) ([]attest.Evidence, attest.Endorsements, error) {
			out := make([]attest.Evidence, n)
			for i := range out {
				out[i] = attest.Evidence{Kind: attest.NVIDIAGPU, Data: []byte{byte(i), 1}}
			}
			return out, nil, nil
		}
	}
	cpu := stub{kind: attest.TDX, end: attest.Endorsements{{Label: "a", Data: []byte{1}}}}
	a, err := Compose(cpu, gpus(2), One(stub{kind: attest.TPM}))
	if err != nil {
		t.Fatal(err)
	}
	ev, end, err := a.Attest(t.Context(), b)
	if err != nil || ev.Kind != attest.Composite || a.Kind() != attest.Composite || len(end) != 1 {
		t.Fatalf("%v %v %v", ev.Kind, end, err)
	}
	parts, err := form.ParseComposite(ev.Data)
	if err != nil || len(parts) != 4 || parts[0].Kind != attest.TDX || parts[2].Data[0] != 1 || parts[3].Kind != attest.TPM {
		t.Errorf("%v %v", parts, err)
	}
	for name, c := range map[string]struct {
		cpu    attest.Attester
		beside Parts
		text   string
	}{
		"a device gives none":    {cpu, gpus(0), "gave none"},
		"a device fails":         {cpu, One(stub{kind: attest.TPM, err: unavailable(syscall.EIO)}), "input/output"},
		"the processor fails":    {stub{kind: attest.SNP, err: unavailable(syscall.EIO)}, gpus(1), "input/output"},
		"two of the same staple": {cpu, One(stub{kind: attest.TPM, end: cpu.end}), "two parts staple a"},
		"too many":               {cpu, gpus(form.MaxParts), "33 parts"},
	} {
		a, err := Compose(c.cpu, c.beside)
		if err != nil {
			t.Fatal(err)
		}
		ev, end, err := a.Attest(t.Context(), b)
		t.Log(name)
		expectUnavailable(t, ev, end, err, c.text)
	}
	for _, cpu := range []attest.Attester{nil, stub{}, stub{kind: attest.NVIDIAGPU}, stub{kind: attest.Composite}} {
		if _, err := Compose(cpu, gpus(1)); err == nil {
			t.Errorf("%v as processor", cpu)
		}
	}
	if _, err := Compose(cpu); err == nil {
		t.Error("composite of a processor alone")
	}
}

// program writes an executable script.
func program(t *testing.T, text string) Helper {
	t.Helper()
	name := filepath.Join(t.TempDir(), "helper")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return Helper{name, "collect"}
}

// FuzzQuote: whatever the host answers, a quote that passes is over the bytes
// that were asked for.
func FuzzQuote(f *testing.F) {
	over := [64]byte{1, 2, 3}
	f.Add(fakeQuote(3, teeSGX, 0, over[:]), false)
	f.Add(fakeQuote(4, teeTDX, 0, over[:]), true)
	f.Add(fakeQuote(5, teeTDX, bodyTDX15, over[:]), true)
	f.Add(make([]byte, 438), false)
	f.Fuzz(func(t *testing.T, quote []byte, td bool) {
		tee := teeSGX
		if td {
			tee = teeTDX
		}
		if checkQuote(quote, tee, over) == nil && !bytes.Contains(quote, over[:]) {
			t.Errorf("%x passes", quote)
		}
	})
}

// FuzzTPMQuote reads what a TPM says that it signed.
func FuzzTPMQuote(f *testing.F) {
	f.Add([]byte{0xff, 0x54, 0x43, 0x47, 0x80, 0x18, 0, 0, 0, 1, 7})
	f.Fuzz(func(t *testing.T, quote []byte) {
		if extra, digest, err := readQuote(quote); err != nil && (extra != nil || digest != nil) {
			t.Error("values and an error")
		}
	})
}
