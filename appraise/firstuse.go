package appraise

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/snp"
)

// FromClaims returns a Trust that accepts the box that showed these Claims, and
// no other code or policy. This is trust on first use: it is worth what the
// first connection was worth, and the file says so in its first lines. Where the
// box falls short of a default, the default is loosened just far enough and the
// file says that too.
//
// An empty name becomes "unnamed", since a reference value needs one.
//
// The Claims must come from a Verifier. For simulated ones the root must be
// added with [Trust.WithSimulatedRoot]; without it the Trust accepts nothing.
func FromClaims(c *attest.Claims, s attest.Statement, policyDocument []byte, name string, at time.Time) *Trust {
	t := defaults()
	t.header = []string{
		"Trust on first use: this file was written from what one box showed on " + at.UTC().Format(time.RFC3339) + ".",
		"Nobody compared it with anything. Before you send data that matters, compare the",
		"measurement and the policy with what their publisher states, over another way.",
	}
	detail, ok := c.Detail.(*snp.Claims)
	if !ok || detail == nil || detail.Report == nil {
		return t
	}
	if name == "" {
		name = "unnamed"
	}
	t.accept = []reference{{name: name, measurement: detail.Report.Measurement, policy: firstPolicy(s, policyDocument)}}
	t.simulated = c.Simulated
	u := firstUse{trust: t, detail: detail, report: detail.Report}
	if t.accept[0].policy.any {
		u.loosen("no policy was shown, so any is accepted")
	}
	u.machine()
	u.levels()
	u.bits()
	return t
}

// firstPolicy pins the policy that was shown; without one there is nothing to
// pin.
func firstPolicy(s attest.Statement, document []byte) policyRule {
	switch {
	case len(document) != 0:
		return policyRule{digest: sha256.Sum256(document)}
	case !s.Policy.IsZero():
		return policyRule{digest: s.Policy}
	}
	return policyRule{any: true}
}

// WithSimulatedRoot returns a copy of t that accepts simulated evidence under
// the root with this fingerprint (SHA-256 of its DER).
func (t *Trust) WithSimulatedRoot(root attest.Digest) *Trust {
	out := *t
	out.simulated, out.simulatedRoot = true, root
	return &out
}

// firstUse fits a Trust to one machine.
type firstUse struct {
	trust  *Trust
	detail *snp.Claims
	report *snp.Report
}

// loosened opens each line of the header that says what was loosened.
const loosened = "LOOSENED for this box: "

func (u *firstUse) loosen(format string, args ...any) {
	u.trust.header = append(u.trust.header, loosened+fmt.Sprintf(format, args...))
}

// Loosened says where a Trust from [FromClaims] accepts less than the defaults
// ask for. The host decides much of it (it can withhold a revocation list), so
// whoever writes such a file should be told. It is empty for a Trust that was
// read from a file.
func (t *Trust) Loosened() []string {
	var out []string
	for _, line := range t.header {
		if what, found := strings.CutPrefix(line, loosened); found {
			out = append(out, what)
		}
	}
	return out
}

// machine accepts the product, and of a product that is not accepted as a
// whole only this chip.
func (u *firstUse) machine() {
	h, d := &u.trust.hardware, u.detail
	h.products = []snp.Product{d.Product}
	if d.Product == snp.Milan && len(d.ChipID) != 0 {
		var id [64]byte
		copy(id[:], d.ChipID)
		h.chips = [][64]byte{id}
		u.loosen("Milan, whose signing keys can be extracted in software; only this chip")
	}
	if d.Signer == snp.SignerVLEK {
		h.csps = []string{d.CSP}
		u.loosen("a key that many chips of %s share", d.CSP)
	} else if d.ChipIDMasked || u.report.MaskChipKey {
		h.maskedChip = true
		u.loosen("the host hides the chip id")
	}
	if u.report.Version == 2 {
		h.reportVersions = []uint32{2}
		u.loosen("a report of version 2, which does not name its processor")
	}
	if !d.ARKCRL.Checked {
		h.revocation = revocationAllowMissing
		u.loosen("nothing says whether its keys were revoked")
	}
}

// levels keeps the built-in floors if the machine meets them, and writes its
// own levels down if it does not.
func (u *firstUse) levels() {
	h, r := &u.trust.hardware, u.report
	h.guestSVN = r.GuestSVN
	if r.VMPL <= 3 {
		h.vmpl = vmplRule{level: r.VMPL}
		if r.VMPL != 0 {
			u.loosen("privilege level %d: what runs above it in the same machine can read everything", r.VMPL)
		}
	}
	lowest := r.ReportedTCB
	for _, t := range []snp.TCB{r.CurrentTCB, r.CommittedTCB, r.LaunchTCB} {
		lowest = lowestOf(lowest, t)
	}
	if floor := builtInFloor(u.detail.Product, r.Stepping); !lowest.AtLeast(floor) {
		h.floors = map[snp.Product]snp.TCB{u.detail.Product: lowest}
		u.loosen("firmware %s is below the floor %s of %s and has known weaknesses", lowest, floor, FloorsDate)
	}
}

func lowestOf(a, b snp.TCB) snp.TCB {
	return snp.TCB{
		FMC:        min(a.FMC, b.FMC),
		Bootloader: min(a.Bootloader, b.Bootloader),
		TEE:        min(a.TEE, b.TEE),
		SNP:        min(a.SNP, b.SNP),
		Microcode:  min(a.Microcode, b.Microcode),
	}
}

func (u *firstUse) bits() {
	h, r := &u.trust.hardware, u.report
	if !r.PlatformInfo.AliasCheckComplete() {
		h.platform.aliasCheck = ruleAllow
		u.loosen("the firmware does not say that it looked for aliased memory (BadRAM)")
	}
	if r.Policy.CXLAllowed() {
		h.guest.cxl = ruleAllow
		u.loosen("the guest may run where CXL devices are attached")
	}
	if extra := uint64(r.PlatformInfo) &^ knownPlatformBits; extra != 0 {
		h.platform.extraBits = extra
		u.loosen("platform bits %s, which this version does not know", bitList(extra))
	}
}
