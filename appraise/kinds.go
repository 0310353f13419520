package appraise

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"slices"
	"strings"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/azure"
	"github.com/blindbox/blindbox/attest/nitro"
	"github.com/blindbox/blindbox/attest/sgx"
	"github.com/blindbox/blindbox/attest/snp"
	"github.com/blindbox/blindbox/attest/tdx"
	"github.com/blindbox/blindbox/attest/tpm"
	"github.com/blindbox/blindbox/internal/strictyaml"
)

// How a kind of hardware plugs in. Each has one file, snp.go being the model,
// with
//
//   - the shape of its reference values (xReferenceDoc, the section of an entry
//     of accept) and what they become: a [codeValues];
//   - the shape of its rules (xRulesDoc, the section of hardware) and what they
//     become: xRules, with its defaults, its reader and its fields for Marshal;
//   - its [machine]: how its claims are judged, summed up and shown;
//   - its first use: the reference values of a box that is there, and the rules
//     loosened just so far that it is accepted.
//
// The switches of this file, and no registry, say which kind is where. What is in
// none of them is refused. Evidence of a machine with GPUs is that of the machine,
// whose claims have Parts; see gpu.go.

// machine is the claims of one kind in the hands of an appraisal.
type machine interface {
	// kinds are those that claims of this type may carry.
	kinds() []attest.Kind
	// consistent reports whether the details say what the general claims say.
	consistent() bool
	// judge makes every check on the machine, as "hardware." checks.
	judge(a *appraisal)
	// essential names checks of judge without which too little is known: where
	// one was skipped the verdict is partial.
	essential() []string
	// code is everything that identifies the code, in full: what the check
	// code.measurement says it saw.
	code() string
	// summary is the line of the group hardware for a machine that passed. What
	// was not looked at, it says so.
	summary(r Result) string
	// document is the object "hardware" of -o json. It has the member "kind".
	document() any
}

// machineOf returns the machine that the claims are about, nil if there is none
// that can be judged.
func machineOf(c *attest.Claims) machine {
	switch d := c.Detail.(type) {
	case *snp.Claims:
		return newSNPMachine(c, d)
	case *tdx.Claims:
		return newTDXMachine(c, d)
	case *sgx.Claims:
		return newSGXMachine(c, d)
	case *nitro.Claims:
		return newNitroMachine(c, d)
	case *tpm.Claims:
		return newTPMMachine(c, d)
	case *azure.Claims:
		return newAzureMachine(c, d)
	}
	return nil
}

// codeValues are the reference values for one version of a box's code on one
// kind of hardware. There are always some: an empty section is an error.
type codeValues interface {
	// matches reports whether the claims are about this code. Every value that
	// is named must be equal; "any" must have been written out.
	matches(c *attest.Claims) bool
	// identifies reports whether only some code can match: not everything is any,
	// or what all machines have.
	identifies() bool
	// fields are the keys and values as they stand in a trust file.
	fields() []field
	// String is all of it, as code.measurement shows what is expected.
	String() string
}

// referenceDocs are the sections that an entry of accept may have.
type referenceDocs struct {
	snp      *snpReferenceDoc
	tdx      *tdxReferenceDoc
	sgx      *sgxReferenceDoc
	nitro    *nitroReferenceDoc
	tpm      *tpmReferenceDoc
	azureSNP *azureReferenceDoc
	azureTDX *azureReferenceDoc
}

// sectionKinds are the kinds that have a section, in the order in which they are
// written. A simulated kind shares that of the real one.
func sectionKinds() []attest.Kind {
	return []attest.Kind{attest.SNP, attest.TDX, attest.SGX, attest.Nitro, attest.TPM, attest.AzureSNP, attest.AzureTDX}
}

// sectionOf returns the section that holds the reference values of a kind.
func sectionOf(k attest.Kind) attest.Kind {
	if k == attest.SimSNP {
		return attest.SNP
	}
	return k
}

// sections reads the sections of one entry of accept.
func (r *reader) sections(path string, d referenceDocs) map[attest.Kind]codeValues {
	out := make(map[attest.Kind]codeValues)
	at := func(k attest.Kind) string { return path + "." + k.String() }
	if d.snp != nil {
		out[attest.SNP] = r.snpReference(at(attest.SNP), d.snp)
	}
	if d.tdx != nil {
		out[attest.TDX] = r.tdxReference(at(attest.TDX), d.tdx)
	}
	if d.sgx != nil {
		out[attest.SGX] = r.sgxReference(at(attest.SGX), d.sgx)
	}
	if d.nitro != nil {
		out[attest.Nitro] = r.nitroReference(at(attest.Nitro), d.nitro)
	}
	if d.tpm != nil {
		out[attest.TPM] = r.tpmReference(at(attest.TPM), d.tpm)
	}
	if d.azureSNP != nil {
		out[attest.AzureSNP] = r.azureReference(at(attest.AzureSNP), attest.AzureSNP, d.azureSNP)
	}
	if d.azureTDX != nil {
		out[attest.AzureTDX] = r.azureReference(at(attest.AzureTDX), attest.AzureTDX, d.azureTDX)
	}
	return out
}

// rules reads the sections of hardware. Rules for a kind that no entry of accept
// is about would be without effect, which nobody can have meant.
func (r *reader) rules(d *hardwareDoc) {
	h := &r.out.hardware
	for _, s := range []struct {
		key   string
		there bool
		pos   func() strictyaml.Pos
		read  func(path string)
		kinds []attest.Kind
	}{
		{"tdx", d.TDX != nil, func() strictyaml.Pos { return d.TDX.Pos }, func(p string) { r.tdxRules(p, d.TDX, &h.tdx) }, []attest.Kind{attest.TDX, attest.AzureTDX}},
		{"sgx", d.SGX != nil, func() strictyaml.Pos { return d.SGX.Pos }, func(p string) { r.sgxRules(p, d.SGX, &h.sgx) }, []attest.Kind{attest.SGX}},
		{"nitro", d.Nitro != nil, func() strictyaml.Pos { return d.Nitro.Pos }, func(p string) { r.nitroRules(p, d.Nitro, &h.nitro) }, []attest.Kind{attest.Nitro}},
		{"tpm", d.TPM != nil, func() strictyaml.Pos { return d.TPM.Pos }, func(p string) { r.tpmRules(p, d.TPM, &h.tpm) }, []attest.Kind{attest.TPM}},
		{"azure", d.Azure != nil, func() strictyaml.Pos { return d.Azure.Pos }, func(p string) { r.azureRules(p, d.Azure, &h.azure) }, []attest.Kind{attest.AzureSNP, attest.AzureTDX}},
	} {
		if !s.there {
			continue
		}
		path := "hardware." + s.key
		if !slices.ContainsFunc(h.kinds, func(k attest.Kind) bool { return slices.Contains(s.kinds, k) }) {
			r.fail(s.pos(), path, "has no meaning: no entry of accept has a section "+kindNames(s.kinds))
		}
		s.read(path)
	}
	if d.GPU != nil {
		h.gpu = r.gpuRules("hardware.gpu", d.GPU)
	}
}

// ruleSections are the sections of hardware that differ from the defaults, each
// written in one line.
func (h *hardware) ruleSections() []field {
	var out []field
	put := func(key string, fields []field) {
		if len(fields) != 0 {
			out = append(out, field{key, flowFields(fields)})
		}
	}
	put("tdx", h.tdx.fields())
	put("sgx", h.sgx.fields())
	put("nitro", h.nitro.fields())
	put("tpm", h.tpm.fields())
	put("azure", h.azure.fields())
	if h.gpu != nil {
		put("gpu", h.gpu.fields())
	}
	return out
}

// code returns the reference values of a box that is there, nil for one of a
// kind that cannot be judged, and fits the rules to it.
func (u *firstUse) code(c *attest.Claims) codeValues {
	switch d := c.Detail.(type) {
	case *snp.Claims:
		return u.snp(d)
	case *tdx.Claims:
		return u.tdx(d)
	case *sgx.Claims:
		return u.sgx(d)
	case *nitro.Claims:
		return u.nitro(d)
	case *tpm.Claims:
		return u.tpm(d)
	case *azure.Claims:
		return u.azure(c, d)
	}
	return nil
}

// flowFields writes keys and values as one mapping.
func flowFields(fields []field) string {
	parts := make([]string, len(fields))
	for i, f := range fields {
		parts[i] = f.key + ": " + f.value
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func kindNames(kinds []attest.Kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.String()
	}
	return strings.Join(names, " or ")
}

// launchedWith reports whether a box was launched with the policy of that
// digest. Where the register is longer than a digest, zeros follow. Registers
// that are extended hold the hash of what they were before, zeros, and of the
// digest; in a bank of SHA-384 zeros follow the digest where a TPM extends it,
// since it extends by values of the bank's size.
func launchedWith(c *attest.Claims, want attest.Digest) bool {
	if want.IsZero() {
		return false
	}
	var expected []byte
	switch c.Kind {
	case attest.SNP, attest.SimSNP:
		expected = want[:]
	case attest.TDX:
		expected = slices.Concat(want[:], make([]byte, 48-len(want)))
	case attest.SGX:
		expected = slices.Concat(want[:], make([]byte, 64-len(want)))
	case attest.Nitro:
		sum := sha512.Sum384(slices.Concat(make([]byte, sha512.Size384), want[:]))
		expected = sum[:]
	case attest.TPM, attest.AzureSNP, attest.AzureTDX:
		expected = extendedWith(len(c.LaunchDigest), want)
	}
	return len(expected) != 0 && bytes.Equal(c.LaunchDigest, expected)
}

// extendedWith returns the value of a PCR of that size that was extended with
// the digest once; nil for SHA-1 and everything else that is not accepted.
func extendedWith(size int, digest attest.Digest) []byte {
	switch size {
	case sha256.Size:
		sum := sha256.Sum256(slices.Concat(make([]byte, size), digest[:]))
		return sum[:]
	case sha512.Size384:
		sum := sha512.Sum384(slices.Concat(make([]byte, size), digest[:], make([]byte, size-len(digest))))
		return sum[:]
	}
	return nil
}

// partCheck is the name of a check on a device beside the processor. They are
// counted from 2: the machine itself is the first part of the evidence.
func partCheck(group string, index int, name string) string {
	return fmt.Sprintf("%s.part%d_%s", group, index+2, name)
}

// parts judges the devices beside the processor. They must be there if the trust
// file has rules for them, and only then.
func (a *appraisal) parts() {
	const name = "hardware.parts"
	rules, parts := a.trust.hardware.gpu, a.claims.Parts
	switch {
	case rules == nil && len(parts) == 0:
		return
	case rules == nil && a.trust.looking:
		a.skip(name, CodeNotChecked, partsText(parts), "a trust file with hardware.gpu")
		return
	case rules == nil:
		a.fail(name, CodeParts, partsText(parts), "none: the trust file has no hardware.gpu")
		return
	case len(parts) == 0:
		a.fail(name, CodeNoParts, "no device beside the processor", "those of hardware.gpu in the trust file")
		return
	case slices.Contains(parts, nil):
		a.fail(name, attest.CodeMalformed, "a part without claims", "claims of every part")
		return
	}
	for i, part := range parts {
		a.check(partCheck(GroupHardware, i, "kind"), part.Kind.Device(), CodeParts, part.Kind.String(), "a device")
		a.endorsed(partCheck(GroupHardware, i, "accepted_time"), part)
	}
	rules.judge(a, parts)
}

// partsText counts devices by kind: "8 nvidia-gpu, 4 nvidia-nvswitch".
func partsText(parts []*attest.Claims) string {
	var kinds []attest.Kind
	count := make(map[attest.Kind]int)
	for _, p := range parts {
		var k attest.Kind
		if p != nil {
			k = p.Kind
		}
		if count[k] == 0 {
			kinds = append(kinds, k)
		}
		count[k]++
	}
	out := make([]string, len(kinds))
	for i, k := range kinds {
		out[i] = fmt.Sprintf("%d %s", count[k], k)
	}
	return strings.Join(out, ", ")
}
