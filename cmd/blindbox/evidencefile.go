package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/nvgpu"
	"github.com/blindbox/blindbox/attest/pcs"
	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/internal/inspect"
)

// supplied is what the command line gives beside a file.
type supplied struct {
	kind                string                     // of the evidence, where its format does not tell
	vek, arkCRL, askCRL string                     // file names
	endorsements        []string                   // LABEL=FILE
	collateral          string                     // file name
	certificates        string                     // file name
	fetch               func(*attest.Bundle) error // adds what is missing from the vendors; nil: nobody is asked
}

func (s supplied) empty() bool {
	return s.kind == "" && s.vek == "" && s.arkCRL == "" && s.askCRL == "" && len(s.endorsements) == 0 && s.collateral == "" && s.certificates == ""
}

// saved is what a file holds: a bundle, which for raw evidence has no statement
// and no policy, or the evidence of devices without a machine.
type saved struct {
	bundle  attest.Bundle
	devices []attest.Evidence
	spdm    []byte // a device's report, whose certificates are in another file
	leftOut int    // bytes behind the evidence
}

// readEvidence reads a saved bundle or raw evidence of any kind. Which it is, is
// told by its bytes, never by its name.
func (s *session) readEvidence(file string, beside supplied) (saved, error) {
	data, err := s.readFile(file, attest.MaxBundle)
	if err != nil {
		return saved{}, err
	}
	out, err := s.recognise(file, data, beside.kind)
	if err != nil {
		return saved{}, err
	}
	if out.spdm != nil {
		if out, err = s.spdmDevice(file, out.spdm, beside); err != nil {
			return saved{}, err
		}
	}
	if err := s.addEndorsements(&out.bundle, beside); err != nil {
		return saved{}, err
	}
	if err := s.addBeside(&out.bundle, file); err != nil {
		return saved{}, err
	}
	if beside.fetch != nil {
		if err := beside.fetch(&out.bundle); err != nil {
			return saved{}, err
		}
	}
	return out, needVEK(out.bundle, file)
}

func (s *session) recognise(file string, data []byte, kindName string) (saved, error) {
	bundle, bundleErr := attest.ParseBundle(data)
	if bundleErr == nil {
		if kindName != "" && kindName != bundle.Evidence.Kind.String() {
			return saved{}, usage("--kind %s, but %s is a bundle with evidence of kind %s", kindName, file, bundle.Evidence.Kind)
		}
		return saved{bundle: bundle}, nil
	}
	r, known, err := readRaw(data)
	if err == nil && r.spdm != nil {
		return r.saved(), nil
	}
	if kindName != "" {
		return asKind(data, kindName, r)
	}
	seen := fmt.Sprintf("%s, %d bytes", file, len(data))
	switch {
	case err != nil:
		return saved{}, fail(attest.CodeMalformed, "file", seen+": "+err.Error(), expectedOf(data))
	case !known:
		return saved{}, fail(attest.CodeMalformed, "file", seen+unknownBytes(file, data, bundleErr),
			fmt.Sprintf("a saved bundle, or raw evidence: an SNP report of %d bytes, a TDX or SGX quote, a Nitro document, JSON of an Azure machine or of NVIDIA devices", snpReportSize))
	}
	return r.saved(), nil
}

// expectedOf says what JSON would be evidence: vendors sign other documents in it.
func expectedOf(data []byte) string {
	if text := bytes.TrimSpace(data); !bytes.HasPrefix(text, []byte("{")) && !bytes.HasPrefix(text, []byte("[")) {
		return ""
	}
	return "JSON of an Azure machine or of NVIDIA devices; `blindbox inspect` shows others, `--collateral` and `--endorsement` take Intel's"
}

// unknownBytes says of a file that is no evidence what it is instead.
func unknownBytes(file string, data []byte, bundleErr error) string {
	if _, readable := inspect.Loose(file, data); readable {
		return ": not evidence, but something that `blindbox inspect` shows"
	}
	if bytes.HasPrefix(data, []byte("BBX")) {
		return ": " + bundleErr.Error()
	}
	if len(data) == 0 {
		return ""
	}
	return fmt.Sprintf(", which begin with %q", data[:min(len(data), 16)])
}

func (r raw) saved() saved {
	return saved{attest.Bundle{Evidence: r.evidence, Endorsements: r.endorsements}, r.devices, r.spdm, r.leftOut}
}

// asKind takes the user's word for what a file is, also against its bytes: the
// Verifier of that kind says what is wrong with it then.
func asKind(data []byte, name string, r raw) (saved, error) {
	kind, err := attest.ParseKind(name)
	if err != nil {
		return saved{}, usage("--kind %q, expected one of %s", name, strings.Join(kindList(), ", "))
	}
	if r.evidence.Kind == kind || len(r.devices) != 0 && r.devices[0].Kind == kind {
		return r.saved(), nil
	}
	ev := attest.Evidence{Kind: kind, Data: data}
	if kind.Device() {
		return saved{devices: []attest.Evidence{ev}}, nil
	}
	return saved{bundle: attest.Bundle{Evidence: ev}}, nil
}

// spdmDevice puts a device's report together with its certificates.
func (s *session) spdmDevice(file string, report []byte, beside supplied) (saved, error) {
	kind, err := deviceKind(file, beside.kind)
	if err != nil {
		return saved{}, err
	}
	if beside.certificates == "" {
		r := fail(attest.CodeUnavailable, "hardware", file+" is the report of a device without its certificates", "--certificates FILE")
		r.entry.Fix = "Get the device's certificates from whoever gave you the report, and give them with `--certificates FILE`."
		return saved{}, r
	}
	chain, err := s.readFile(beside.certificates, attest.MaxEndorsement)
	if err != nil {
		return saved{}, err
	}
	return saved{devices: []attest.Evidence{nvgpu.Encode(kind, report, chain)}}, nil
}

// deviceKind says whose an SPDM report is, which its bytes do not tell: a GPU's
// unless the user says otherwise.
func deviceKind(file, name string) (attest.Kind, error) {
	if name == "" {
		return attest.NVIDIAGPU, nil
	}
	kind, err := attest.ParseKind(name)
	if err != nil || !kind.Device() {
		return attest.KindInvalid, usage("--kind %q, but %s is the report of a device", name, file)
	}
	return kind, nil
}

func kindList() []string {
	var out []string
	for _, k := range attest.Kinds() {
		out = append(out, k.String())
	}
	return out
}

// needVEK says where to get what a raw report is nothing without.
func needVEK(b attest.Bundle, file string) error {
	if b.Evidence.Kind != attest.SNP || len(b.Statement) != 0 {
		return nil
	}
	for _, label := range []string{attest.LabelSNPVEK, attest.LabelSNPCertTable} {
		if _, there, err := b.Endorsements.Get(label); there || err != nil {
			return nil
		}
	}
	r := fail(attest.CodeUnavailable, "hardware", "no certificate beside "+file, "--vek FILE, or NAME.vek.der beside NAME.report.bin")
	r.entry.Fix = "Get the VCEK or VLEK certificate from whoever gave you the report, or that of the chip from AMD's key service, and give it with `--vek FILE`."
	return r
}

// addEndorsements puts the files that were named into the bundle. One that is
// there already is an error: the two might differ.
func (s *session) addEndorsements(b *attest.Bundle, beside supplied) error {
	list := []labelled{{attest.LabelSNPVEK, beside.vek}, {attest.LabelSNPARKCRL, beside.arkCRL}, {attest.LabelSNPASKCRL, beside.askCRL}}
	for _, arg := range beside.endorsements {
		label, file, found := strings.Cut(arg, "=")
		switch {
		case !found || file == "":
			return usage("--endorsement %q, expected LABEL=FILE", arg)
		case !knownLabel(label):
			return usage("--endorsement %q: unknown label, expected one of %s", arg, strings.Join(labels(), ", "))
		}
		list = append(list, labelled{label, file})
	}
	for _, item := range list {
		if err := s.addEndorsement(b, item); err != nil {
			return err
		}
	}
	return s.addCollateral(b, beside.collateral)
}

// labelled is an endorsement in a file.
type labelled struct{ label, file string }

func (s *session) addEndorsement(b *attest.Bundle, item labelled) error {
	if item.file == "" {
		return nil
	}
	data, err := s.readFile(item.file, attest.MaxEndorsement)
	if err != nil {
		return err
	}
	if len(data) == 0 {
		return fail(catalogue.CodeFile, "file", item.file+" is empty", "a file with "+item.label)
	}
	return add(b, attest.Endorsement{Label: item.label, Data: data})
}

func add(b *attest.Bundle, e attest.Endorsement) error {
	if _, there, _ := b.Endorsements.Get(e.Label); there {
		return usage("%s is there already, and was given too", e.Label)
	}
	b.Endorsements = append(b.Endorsements, e)
	return nil
}

func (s *session) addCollateral(b *attest.Bundle, file string) error {
	if file == "" {
		return nil
	}
	data, err := s.readFile(file, attest.MaxBundle)
	if err != nil {
		return err
	}
	list, err := pcs.FromCollateralJSON(data)
	if err != nil {
		return fail(attest.CodeMalformed, "file", file+": "+err.Error(), "collateral in JSON: tcb_info, qe_identity, root_ca_crl, pck_crl and their chains and signatures")
	}
	for _, e := range list {
		if err := add(b, e); err != nil {
			return err
		}
	}
	return nil
}

// addBeside adds what lies beside the file: the certificate NAME.vek.der, and the
// directory FILE.endorsements, in which each file's path is its label. What was
// named on the command line, or was in the bundle, comes first.
func (s *session) addBeside(b *attest.Bundle, file string) error {
	if file == "-" {
		return nil
	}
	var list []labelled
	if vek := sibling(file); vek != "" && b.Evidence.Kind == attest.SNP && len(b.Statement) == 0 {
		list = append(list, labelled{attest.LabelSNPVEK, vek})
	}
	more, err := endorsementDir(file + ".endorsements")
	if err != nil {
		return err
	}
	for _, item := range append(list, more...) {
		if _, there, _ := b.Endorsements.Get(item.label); there {
			continue
		}
		if err := s.addEndorsement(b, item); err != nil {
			return err
		}
	}
	return nil
}

// endorsementDir lists the files of a directory, none if it does not exist.
func endorsementDir(dir string) ([]labelled, error) {
	var out []labelled
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		label := filepath.ToSlash(rel)
		// A pipe would be waited for, a device has no end.
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return err
		case !info.Mode().IsRegular():
			return fmt.Errorf("%s is no ordinary file", path)
		case !knownLabel(label):
			return fmt.Errorf("%s: no endorsement is called %q", path, label)
		case len(out) == attest.MaxEndorsements:
			return fmt.Errorf("%s: more than %d endorsements", dir, attest.MaxEndorsements)
		}
		out = append(out, labelled{label, path})
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fail(catalogue.CodeFile, "file", err.Error(), "endorsements under their labels, such as "+attest.LabelIntelTCBInfo)
	}
	return out, nil
}

// labels are those that an endorsement can have. Those that end in a slash go on.
func labels() []string {
	return []string{
		attest.LabelSNPVEK, attest.LabelSNPCertTable, attest.LabelSNPARKCRL, attest.LabelSNPASKCRL,
		attest.LabelIntelPCKChain, attest.LabelIntelTCBInfo, attest.LabelIntelQEIdentity, attest.LabelIntelTCBChain,
		attest.LabelIntelRootCRL, attest.LabelIntelPCKCRL,
		attest.LabelTPMAKChain, attest.LabelTPMAKCRL, attest.LabelEventLog,
		attest.LabelNVIDIARIM, attest.LabelNVIDIAOCSP,
		attest.LabelSimRoot, attest.LabelSimASK,
	}
}

func knownLabel(name string) bool {
	return slices.ContainsFunc(labels(), func(l string) bool {
		rest, found := strings.CutPrefix(name, l)
		return found && (rest == "") != strings.HasSuffix(l, "/")
	})
}

// sibling returns the certificate that lies beside NAME.report.bin or NAME.bin
// as NAME.vek.der, or "".
func sibling(file string) string {
	name := strings.TrimSuffix(strings.TrimSuffix(file, ".bin"), ".report") + ".vek.der"
	if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return name
}
