package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/atls"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/sim"
	"github.com/blindbox/blindbox/client"
	"github.com/blindbox/blindbox/endorse"
)

// verifyEvidence has the evidence verified by the Verifier of its kind. A
// simulated root comes from the trust file. Without one it is the root that the
// box shows, which proves nothing, and the appraisal says so.
func verifyEvidence(trust *appraise.Trust, b attest.Bundle, at time.Time) (*attest.Claims, error) {
	v, err := verifierFor(trust, b)
	if err != nil {
		return nil, err
	}
	return v.Verify(b.Evidence, b.Endorsements, at)
}

func verifierFor(trust *appraise.Trust, b attest.Bundle) (attest.Verifier, error) {
	kind := b.Evidence.Kind
	switch {
	case kind == attest.SimSNP && trust == nil:
		root, err := shownRoot(b)
		if err != nil {
			return nil, err
		}
		return sim.NewVerifier(root)
	case kind == attest.SimSNP && !slices.Contains(trust.Kinds(), kind):
		return nil, attest.NewFailure("hardware.kind", attest.CodeKindMismatch, "SIMULATED", "hardware: the trust file does not allow simulated boxes")
	}
	return client.VerifierFor(kind, trust)
}

// kindsFor are the kinds of evidence that a box is asked for. Without a trust
// file it is every kind: simulated evidence too is worth looking at.
func kindsFor(trust *appraise.Trust) []attest.Kind {
	if trust == nil {
		return append(client.KindsFor(nil), attest.SimSNP)
	}
	return client.KindsFor(trust)
}

// shownRoot returns the fingerprint of the simulated root that a box shows.
func shownRoot(b attest.Bundle) (attest.Digest, error) {
	der, there, err := b.Endorsements.Get(attest.LabelSimRoot)
	if err != nil || !there {
		return attest.Digest{}, attest.NewFailure("hardware.chain", attest.CodeUntrustedRoot, "no simulated root", "one simulated root beside the evidence")
	}
	return sha256.Sum256(der), nil
}

// shown is everything a box showed on one connection, and what was made of it.
type presentation struct {
	atls.Presented
	claims *attest.Claims
	file   bool // there was no connection
}

// present connects to a box, runs the gate and calls judge with what the box
// showed. The connection is closed whatever comes of it: this is for looking.
func present(ctx context.Context, cfg atls.ClientConfig, u *url.URL) error {
	c, err := atls.NewClient(cfg)
	if err != nil {
		return err
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	conn, err := c.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return err
	}
	return conn.Close()
}

// handshake verifies a live box, with the floors of this machine's cache if it
// has one. A refusal for what the box showed is a verdict
// and no error; the error says that there was nothing to judge.
func handshake(ctx context.Context, trust *appraise.Trust, u *url.URL, now func() time.Time, floors endorse.Floors) (verdict, attest.Bundle, error) {
	var judged *verdict
	var bundle attest.Bundle
	cfg := atls.ClientConfig{
		Kinds: kindsFor(trust), Skew: appraise.DefaultClockSkew,
		Now: now, NextProtos: []string{"h2", "http/1.1"},
		Check: func(_ context.Context, p atls.Presented) (any, error) {
			in := appraise.Input{Statement: p.Statement, Channel: p.Checks, Policy: p.Bundle.Policy}
			in.Claims, in.Err = verifyEvidence(trust, p.Bundle, p.At)
			in.Claims, in.Err = endorse.AboveFloors(floors, in.Claims, in.Err, p.Bundle.Endorsements)
			v := appraisal(trust, in, p.At)
			if v.outcome == appraise.Trusted {
				if err := raiseFloors(floors, in.Claims, p.Bundle.Endorsements); err != nil {
					return nil, err
				}
			}
			judged, bundle = &v, p.Bundle
			if v.outcome == appraise.Refused {
				return nil, v.err
			}
			return v, nil
		},
	}
	if trust != nil {
		cfg.Skew = trust.ClockSkew()
	}
	err := present(ctx, cfg, u)
	switch {
	case judged != nil && judged.outcome == appraise.Refused:
		return *judged, bundle, nil
	case err != nil:
		return verdict{}, attest.Bundle{}, err
	case judged == nil:
		return verdict{}, attest.Bundle{}, fmt.Errorf("the gate opened without a check: %w", attest.ErrUnavailable)
	}
	return *judged, bundle, nil
}

// provesStatement establishes that the hardware, and each device beside it, signed
// the statement.
func provesStatement(claims *attest.Claims, statement attest.Statement) error {
	bound, err := statement.Bind()
	if err != nil {
		return attest.NewFailure("channel.statement", attest.CodeMalformed, err.Error(), "a complete statement")
	}
	for _, one := range append([]*attest.Claims{claims}, claims.Parts...) {
		if !one.Proves(bound) {
			return attest.NewFailure("channel.bound", attest.CodeNotBound, "another value", "the hash of the statement")
		}
	}
	return nil
}

// look connects to a box that nobody has said anything about, for trust on
// first use: the evidence must be genuine, with lists no older than this machine's
// cache has seen, and nothing else is asked of it.
func (s *session) look(ctx context.Context, u *url.URL) (*presentation, error) {
	floors, done, err := s.floors()
	if err != nil {
		return nil, err
	}
	defer done()
	var seen *presentation
	err = present(ctx, atls.ClientConfig{
		Kinds: kindsFor(nil), Skew: appraise.DefaultClockSkew,
		Now: s.now, NextProtos: []string{"h2", "http/1.1"},
		Check: func(_ context.Context, p atls.Presented) (any, error) {
			claims, err := verifyEvidence(nil, p.Bundle, p.At)
			claims, err = endorse.AboveFloors(floors, claims, err, p.Bundle.Endorsements)
			if err != nil {
				return nil, err
			}
			if err := provesStatement(claims, p.Statement); err != nil {
				return nil, err
			}
			seen = &presentation{Presented: p, claims: claims}
			return seen, nil
		},
	}, u)
	if err != nil {
		return nil, err
	}
	return seen, nil
}
