package attesttest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
)

// Vector is one case for every verifier that reads our formats, in whatever
// language: evidence of one kind, what the relying party holds, and the verdict.
// The files in vectors/cases are made of these.
type Vector struct {
	// Row is the row of the attack catalogue in vectors/README.md that the case
	// stands for, "T07"; Name tells it from the others of its row, in words joined
	// by hyphens.
	Row, Name string
	// About says in one sentence what is wrong, or that nothing is.
	About string
	// Spec is the specification and section that the verdict rests on.
	Spec string

	Evidence     attest.Evidence
	Endorsements attest.Endorsements
	// Verifier is the kind that the relying party expects; the zero value says that
	// of the evidence.
	Verifier attest.Kind
	// Roots are the certificates that the relying party trusts, DER; none means
	// those of the vendor. SNP and Azure on SNP: ARK, ASK, ASVK of one line; TDX, SGX,
	// Azure on TDX and Nitro: the root; NVIDIA: device root, RIM root; TPM: any.
	Roots [][]byte
	// Pins are names of TPM attestation keys that the relying party trusts.
	Pins [][]byte
	At   time.Time

	// Stage says who has to notice, Check and Code what is answered. For
	// StageNone both are empty: the evidence is accepted.
	Stage Stage
	Check string // the dotted name of a check that fails
	Code  attest.Code
	// Trust is the trust file that StageAppraise appraises with; empty otherwise.
	Trust string
}

// shared are cases that are made once in a process, since signatures are slow to
// make. Nobody may change the bytes in them.
type shared struct {
	mu  sync.Mutex
	all []Vector
}

func (s *shared) get(t testing.TB, makeAll func(testing.TB) []Vector) []Vector {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = makeAll(t)
	}
	return slices.Clone(s.all)
}
