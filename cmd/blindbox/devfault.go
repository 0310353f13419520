package main

import (
	"strings"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/sim"
	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/policy"
)

// fault is something that is wrong with a simulated box, so that people can
// watch a client refuse it. It is in the simulation alone: boxd has none of this
// in it. The zero fault is a healthy box.
type fault struct {
	name  string
	about string
	// code is the reason that a client gives.
	code attest.Code
	// box changes the simulated hardware, front what stands before the box.
	box   func(*sim.Box)
	front frontKind
	// policy and root say that the box has others than the trust file accepts.
	policy, root bool
	// closed says that the box sees it itself and does not open.
	closed bool
}

// frontKind is what somebody put before the box.
type frontKind uint8

const (
	frontNone   frontKind = iota
	frontRelay            // ends TLS with a key of its own and passes everything on
	frontReplay           // answers with what it recorded before
	frontMute             // speaks TLS and HTTP, but not the gate
	frontOpen             // is a box that has no closed door
)

const faultList = "list"

// faults returns every fault there is.
func faults() []fault {
	return append(hardwareFaults(),
		fault{name: "wrong-measurement", code: appraise.CodeMeasurement, about: "another program was launched than you accept",
			box: func(b *sim.Box) { b.Measurement[0] ^= 1 }},
		fault{name: "wrong-policy", code: attest.CodePolicyMismatch, about: "the box runs under another policy than you accept", policy: true},
		fault{name: "launch-policy", code: appraise.CodeLaunchPolicy, about: "a box of somebody's own making shows your policy, and was launched with another",
			front: frontOpen, box: func(b *sim.Box) { b.HostData[0] ^= 1 }},
		fault{name: "changed-policy", code: catalogue.CodeLaunched, about: "one byte of the policy was changed after the launch: the box sees it and opens to nobody",
			closed: true, box: func(b *sim.Box) { b.HostData[0] ^= 1 }},
		fault{name: "wrong-root", code: attest.CodeUntrustedRoot, about: "somebody else's simulation signed, with all the right names", root: true},
		fault{name: "relay", code: attest.CodeKeyMismatch, about: "somebody in the middle ends TLS and passes genuine evidence on", front: frontRelay},
		fault{name: "replay", code: attest.CodeNonceMismatch, about: "somebody answers with evidence that was recorded before", front: frontReplay},
		fault{name: "no-attestation", code: attest.CodeNoAttestation, about: "an ordinary web server is at the address", front: frontMute},
	)
}

// hardwareFaults are those that the report or its endorsements show.
func hardwareFaults() []fault {
	return []fault{
		{name: "tcb-out-of-date", code: appraise.CodeTCBLow, about: "the firmware is years old",
			box: func(b *sim.Box) { b.OldTCB = true }},
		{name: "debug", code: appraise.CodeDebug, about: "the host may read the memory of the box",
			box: func(b *sim.Box) { b.Debug = true }},
		{name: "migration-agent", code: appraise.CodeMigration, about: "another guest may export the box",
			box: func(b *sim.Box) { b.MigrationAgent = true }},
		{name: "vmpl", code: appraise.CodeVMPL, about: "the report was asked for by less privileged software",
			box: func(b *sim.Box) { b.VMPL = 2 }},
		{name: "revoked", code: attest.CodeRevoked, about: "the vendor withdrew the key that vouches for the chip",
			box: func(b *sim.Box) { b.Revoked = true }},
		{name: "stale-crl", code: attest.CodeStaleCRL, about: "the list of withdrawn keys is a year old",
			box: func(b *sim.Box) { b.StaleCRL = true }},
		{name: "no-crl", code: attest.CodeNoCRL, about: "nothing says whether keys were withdrawn",
			box: func(b *sim.Box) { b.NoCRL = true }},
		{name: "vendor-down", code: attest.CodeUnavailable, about: "the vendor's servers gave no certificate and no list",
			box: func(b *sim.Box) { b.VendorDown = true }},
		{name: "expired-certificate", code: attest.CodeExpired, about: "the chip's certificate is no longer valid",
			box: func(b *sim.Box) { b.Expired = true }},
		{name: "bad-signature", code: attest.CodeBadSignature, about: "somebody changed the report on its way",
			box: func(b *sim.Box) { b.BadSignature = true }},
		{name: "not-bound", code: attest.CodeNotBound, about: "genuine evidence, over something else than was asked",
			front: frontOpen, box: func(b *sim.Box) { b.OtherData = true }},
	}
}

// findFault returns the fault of that name, the zero fault for none.
func findFault(name string) (fault, error) {
	if name == "" {
		return fault{}, nil
	}
	for _, f := range faults() {
		if f.name == name {
			return f, nil
		}
	}
	return fault{}, usage("--fault %q; `blindbox dev --fault list` prints what there is", name)
}

// entry explains what a client will say.
func (f fault) entry() catalogue.Entry {
	e, _ := catalogue.ByCode(f.code)
	return e
}

// document is the fault in -o json, null for none.
func (f fault) document() any {
	if f.name == "" {
		return nil
	}
	return map[string]any{"name": f.name, "about": f.about, "expect": f.entry().ID(), "reason": f.code, "exit": int(f.entry().Stage()), "starts": !f.closed}
}

func (s *session) listFaults() error {
	var docs []any
	for _, f := range faults() {
		docs = append(docs, f.document())
		s.printf("%-20s %s  %s\n", f.name, f.entry().ID(), f.about)
	}
	if s.json() {
		s.writeJSON(docs)
	}
	return nil
}

// install puts the fault into what is about to run, and returns the root that
// signs and the policy that rules.
func (f fault) install(root *sim.Root, p *policy.Policy, runs *sim.Box) (*sim.Root, *policy.Policy, error) {
	var err error
	if f.policy {
		// Another document that means the same is another policy.
		doc := strings.TrimSuffix(string(p.Bytes()), "\n") + "\n# changed by somebody\n"
		if p, err = policy.Parse([]byte(doc)); err != nil {
			return nil, nil, err
		}
		runs.HostData = p.Digest()
	}
	if f.root {
		if root, err = sim.NewRoot(nil, time.Now()); err != nil {
			return nil, nil, err
		}
	}
	if f.box != nil && f.front == frontNone {
		f.box(runs)
	}
	return root, p, nil
}
