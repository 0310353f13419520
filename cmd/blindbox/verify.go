package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/catalogue"
)

// defaultTimeout bounds the wait for a verdict.
const defaultTimeout = 30 * time.Second

type verifyOptions struct {
	trust    string
	at       string
	save     string
	show     detail
	force    bool
	timeout  time.Duration
	fetch    bool
	from     string // a mirror
	supplied supplied
}

func newVerify(s *session) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify URL | FILE",
		Short: "Verify a box, or evidence that was saved, and say what it is",
		Long: `Verify a box at https://HOST[:PORT], a bundle that was written with --save, or raw
evidence: an SNP report, a TDX or SGX quote, a Nitro document, the JSON of an Azure
machine or of NVIDIA devices, an SPDM report. What a file is, its bytes tell.

What the vendor says about raw evidence is given with --vek, --collateral and
--endorsement, or lies beside FILE: the certificate of NAME.report.bin in
NAME.vek.der, anything in the directory FILE.endorsements under its label, such
as FILE.endorsements/intel/tcb-info. Below the verdict on a file stands every check.
Without a trust file only the hardware is looked at and the verdict is PARTIAL at
best.`,
		Args: exactly(1, "one URL or FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if isURL(args[0]) {
				return s.verifyURL(cmd.Context(), args[0], o)
			}
			if isBareAddress(args[0]) {
				return fail(catalogue.CodeAddress, "address", args[0]+", which is no file here", "https://"+args[0])
			}
			if err := s.allowFetch(cmd.Context(), &o); err != nil {
				return err
			}
			return s.verifyFile(args[0], o)
		},
	}
	addTrustFlag(cmd, &o.trust)
	f := cmd.Flags()
	addFileFlags(cmd, &o)
	f.StringVar(&o.save, "save", "", "write what the box showed to this file")
	f.BoolVar(&o.force, "force", false, "overwrite the file of --save")
	f.BoolVar(&o.show.checks, "checks", false, "print every check below the verdict, and the box's policy in words")
	f.BoolVar(&o.show.policy, "policy", false, "print the box's policy in words below the verdict")
	f.DurationVar(&o.timeout, "timeout", defaultTimeout, "how long to wait for a verdict")
	return cmd
}

// addFileFlags are those of a command that reads evidence from a file.
func addFileFlags(cmd *cobra.Command, o *verifyOptions) {
	f := cmd.Flags()
	f.StringVar(&o.at, "at", "", "for a FILE: the time to verify for, 2026-11-21 or RFC 3339")
	f.StringVar(&o.supplied.kind, "kind", "", "for a FILE: the kind of evidence, such as tdx, where its bytes do not tell")
	f.StringArrayVar(&o.supplied.endorsements, "endorsement", nil, "for a FILE: LABEL=FILE, such as intel/tcb-info=tcb.json; may be repeated")
	f.StringVar(&o.supplied.collateral, "collateral", "", "for a quote: Intel's collateral in one JSON file")
	f.StringVar(&o.supplied.certificates, "certificates", "", "for the report of a GPU or switch: the device's certificates, PEM")
	f.BoolVar(&o.fetch, "fetch", false, "for a FILE: fetch what is missing from the vendors, or take it from the cache of \"blindbox endorsements\"")
	f.StringVar(&o.from, "endorsements-from", "", "with --fetch: a mirror (http://HOST:PORT) instead of the vendors")
	f.StringVar(&o.supplied.vek, "vek", "", "for an SNP report: VCEK or VLEK certificate, DER")
	f.StringVar(&o.supplied.arkCRL, "ark-crl", "", "revocation list of the ARK, DER")
	f.StringVar(&o.supplied.askCRL, "ask-crl", "", "revocation list of the ASK or ASVK, DER")
}

// forFiles reports whether anything was given that only a file can be read with.
func (o *verifyOptions) forFiles() bool {
	return o.at != "" || o.fetch || o.from != "" || !o.supplied.empty()
}

// parseTime reads --at. A date alone means its first second, UTC.
func (s *session) parseTime(text string) (time.Time, error) {
	if text == "" {
		return s.now(), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usage("--at %q, expected a date (2026-11-21) or RFC 3339 (2026-11-21T10:00:00Z)", text)
}

func (s *session) verifyFile(file string, o verifyOptions) error {
	at, err := s.parseTime(o.at)
	if err != nil {
		return err
	}
	trust, err := s.loadTrust(o.trust, true)
	if err != nil {
		return err
	}
	found, err := s.readEvidence(file, o.supplied)
	if err != nil {
		return err
	}
	if found.leftOut != 0 {
		s.note("%d bytes behind the evidence were left out: nobody signed them\n", found.leftOut)
	}
	if len(found.devices) != 0 {
		return s.concludeFile(devicesVerdict(found, at))
	}
	bundle := found.bundle
	in := appraise.Input{Policy: bundle.Policy, Offline: true}
	if len(bundle.Statement) != 0 {
		if in.Statement, err = attest.ParseStatement(bundle.Statement); err != nil {
			return fail(attest.CodeMalformed, "file", err.Error(), "the statement of a box")
		}
	}
	in.Claims, in.Err = verifyEvidence(trust, bundle, at)
	return s.concludeFile(appraisal(trust, in, at))
}

// concludeFile shows the verdict on a file.
func (s *session) concludeFile(v verdict) error {
	if v.err != nil {
		r := refusalOf(v.err)
		r.contacted = false // there is nobody to send anything to
		v.err = r
	}
	return s.conclude(v, 0, detail{checks: true})
}

func (s *session) verifyURL(ctx context.Context, address string, o verifyOptions) error {
	if o.forFiles() {
		return usage("--at, --fetch, --kind and what is given beside evidence are for files: a live box is verified now, with what it staples")
	}
	if o.timeout <= 0 {
		return usage("--timeout %s, expected more than none", o.timeout)
	}
	u, err := boxURL(address)
	if err != nil {
		return err
	}
	trust, err := s.loadTrust(o.trust, true)
	if err != nil {
		return err
	}
	floors, done, err := s.floors()
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	began := time.Now()
	arrived := s.waitingFor(u)
	v, bundle, err := handshake(ctx, trust, u, s.now, floors)
	arrived()
	if err != nil {
		return err
	}
	if o.save != "" && len(bundle.Evidence.Data) != 0 {
		encoded, err := bundle.Encode()
		if err != nil {
			return err
		}
		if err := s.writeFile(o.save, encoded, 0o644, o.force); err != nil {
			return err
		}
	}
	return s.conclude(v, time.Since(began), o.show)
}
