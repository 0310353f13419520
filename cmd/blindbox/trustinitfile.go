package main

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/atls"
	"github.com/blindbox/blindbox/attest"
)

// trustInitFile is trust on first use of evidence that somebody has saved. The file
// that it writes accepts this evidence: what a trust file can never accept, such as
// a machine in debug mode, is refused here and now.
func (s *session) trustInitFile(ctx context.Context, file string, o initOptions) error {
	o.file.timeout = o.timeout
	if err := s.allowFetch(ctx, &o.file); err != nil {
		return err
	}
	at, err := s.parseTime(o.file.at)
	if err != nil {
		return err
	}
	seen, err := s.lookAtFile(file, o.file.supplied, at)
	if err != nil {
		return offline(err)
	}
	trust, err := firstTrust(seen, o)
	if err != nil {
		return offline(err)
	}
	result := trust.Appraise(appraise.Input{Claims: seen.claims, Statement: seen.Statement, Policy: seen.Bundle.Policy, Offline: true}, at)
	if result.Verdict() == appraise.Refused {
		return offline(result.Err())
	}
	return s.writeFirstTrust(seen, trust, o)
}

// offline is the refusal of a file: there is nobody to whom nothing was sent.
func offline(err error) error {
	r := refusalOf(err)
	r.contacted = false
	return r
}

// lookAtFile has the evidence in a file verified, at a time of the reader's. Where
// there is a statement the hardware must have signed it, and the policy must be the
// one that it names.
func (s *session) lookAtFile(file string, beside supplied, at time.Time) (*presentation, error) {
	found, err := s.readEvidence(file, beside)
	if err != nil {
		return nil, err
	}
	if found.leftOut != 0 {
		s.note("%d bytes behind the evidence were left out: nobody signed them\n", found.leftOut)
	}
	if len(found.devices) != 0 {
		return nil, fail(attest.CodeKindMismatch, "hardware", countKinds(found.devices)+" without a machine",
			"evidence of a machine: a trust file accepts devices as parts of one")
	}
	claims, err := verifyEvidence(nil, found.bundle, at)
	if err != nil {
		return nil, err
	}
	seen := &presentation{Presented: atls.Presented{Bundle: found.bundle, At: at}, claims: claims, file: true}
	if len(found.bundle.Statement) == 0 {
		return seen, nil
	}
	if seen.Statement, err = attest.ParseStatement(found.bundle.Statement); err != nil {
		return nil, fail(attest.CodeMalformed, "file", err.Error(), "the statement of a box")
	}
	if err := provesStatement(claims, seen.Statement); err != nil {
		return nil, err
	}
	if shown := attest.Digest(sha256.Sum256(found.bundle.Policy)); shown != seen.Statement.Policy {
		return nil, attest.NewFailure("policy.statement", attest.CodePolicyMismatch, "sha256:"+shown.String(), "sha256:"+seen.Statement.Policy.String()+", as the hardware signed")
	}
	return seen, nil
}
