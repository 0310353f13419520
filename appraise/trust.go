package appraise

import (
	"slices"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/snp"
)

// Trust is what a relying party accepts: a parsed trust file. It is made by
// [ParseTrust] or [FromClaims], never changes afterwards, and may be shared. The
// zero Trust accepts nothing.
type Trust struct {
	accept   []reference
	hardware hardware
	// simulated is set only by the literal allow_simulated: true.
	simulated     bool
	simulatedRoot attest.Digest
	maxAge        time.Duration
	skew          time.Duration
	require       requirements
	// looking says that this is no trust file: see AnyHardware.
	looking bool
	// header are the comment lines that Marshal writes first.
	header []string
}

// reference is one version of one box's code, as somebody computed it.
type reference struct {
	name    string
	code    map[attest.Kind]codeValues // by section; one of them counts, that of the box's kind
	policy  policyRule
	expires time.Time // zero: never
}

func (r reference) expired(at time.Time) bool { return !r.expires.IsZero() && !at.Before(r.expires) }

// hardware is the appraisal policy for the machine. What stands at the top is
// about SEV-SNP, except for what is said of revocation: that holds for all.
type hardware struct {
	// kinds are those that have a section in accept, in the order of attest.
	kinds []attest.Kind
	snpRules
	tdx   tdxRules
	sgx   sgxRules
	nitro nitroRules
	tpm   tpmRules
	azure azureRules
	gpu   *gpuRules // nil: a machine without GPUs, and no other

	revocation revocationRule
	crlMaxAge  time.Duration // zero: as long as the list says
}

// snpRules are about SEV-SNP, and about the SNP report of an Azure machine.
type snpRules struct {
	products       []snp.Product
	chips          [][64]byte // empty: any chip of the products
	floors         map[snp.Product]snp.TCB
	reportVersions []uint32
	firmware       dotted
	abi            dotted
	vmpl           vmplRule
	guestSVN       uint32
	smt            rule
	guest          guestRules
	platform       platformRules
	maskedChip     bool
	csps           []string // empty: no VLEK
	idKeys         [][48]byte
	authorKeys     [][48]byte
	familyID       [16]byte // zero: not required
	imageID        [16]byte
	mitLaunch      uint64
	mitCurrent     uint64
}

// guestRules are about the bits of the guest policy (AMD 56860, table
// "Guest Policy"). DEBUG and MIGRATE_MA have no rule: they are always refused.
type guestRules struct {
	singleSocket, cxl, aes256XTS, raplDisabled, ciphertextHiding, pageSwapDisabled rule
}

// platformRules are about PLATFORM_INFO (AMD 56860, table "PLATFORM_INFO").
// A bit that has no name here is refused unless extraBits lists it.
type platformRules struct {
	tsme, ecc, raplDisabled, ciphertextHiding, aliasCheck, iommuWriteSafe, tio rule
	extraBits                                                                  uint64
}

// Defaults of a trust file.
const (
	DefaultMaxAge    = 10 * time.Minute
	DefaultClockSkew = time.Minute
	maxMaxAge        = 24 * time.Hour
	maxClockSkew     = time.Hour
)

// defaults returns a Trust that holds every default and no reference value.
func defaults() *Trust {
	return &Trust{
		hardware: hardware{
			snpRules: defaultSNP(),
			tdx:      defaultTDX(), sgx: defaultSGX(), nitro: defaultNitro(), tpm: defaultTPM(), azure: defaultAzure(),
			revocation: revocationRequire,
		},
		maxAge: DefaultMaxAge,
		skew:   DefaultClockSkew,
	}
}

func defaultSNP() snpRules {
	return snpRules{
		products:       []snp.Product{snp.Genoa, snp.Turin},
		reportVersions: []uint32{3, 5},
		smt:            ruleAllow,
		guest: guestRules{
			singleSocket: ruleAllow, cxl: ruleForbid, aes256XTS: ruleAllow,
			raplDisabled: ruleAllow, ciphertextHiding: ruleAllow, pageSwapDisabled: ruleAllow,
		},
		platform: platformRules{
			tsme: ruleAllow, ecc: ruleAllow, raplDisabled: ruleAllow, ciphertextHiding: ruleAllow,
			aliasCheck: ruleRequire, iommuWriteSafe: ruleAllow, tio: ruleAllow,
		},
	}
}

// AnyHardware returns a Trust that holds machines of every kind against the
// default rules and accepts no code: it is for looking at evidence where there is
// no trust file. A revocation list may be missing, and devices beside the
// processor are not compared with anything. Nothing that it appraises is ever
// trusted.
func AnyHardware() *Trust {
	t := defaults()
	t.looking = true
	t.hardware.kinds = sectionKinds()
	t.hardware.revocation = revocationAllowMissing
	return t
}

// Kinds returns the kinds of machine that are accepted. The simulated kind is
// among them only if the trust file allows it. A machine with GPUs shows its own
// kind inside [attest.Composite], see [Trust.GPUs].
func (t *Trust) Kinds() []attest.Kind {
	kinds := slices.Clone(t.hardware.kinds)
	if t.simulated {
		kinds = append(kinds, attest.SimSNP)
	}
	return kinds
}

// sections returns the kinds that an entry of accept has a section for.
func (t *Trust) sections() []attest.Kind {
	var out []attest.Kind
	for _, k := range sectionKinds() {
		if slices.ContainsFunc(t.accept, func(r reference) bool { return r.code[k] != nil }) {
			out = append(out, k)
		}
	}
	return out
}

// GPUs reports whether the machine must have GPUs that are attested with it. If
// not, none may be shown.
func (t *Trust) GPUs() bool { return t.hardware.gpu != nil }

// SimulatedRoot returns the fingerprint of the simulated root to pin, and false
// if simulated evidence is not accepted at all.
func (t *Trust) SimulatedRoot() (attest.Digest, bool) {
	return t.simulatedRoot, t.simulated && !t.simulatedRoot.IsZero()
}

// MaxAge returns how old verified evidence may become before it must be
// verified anew. Zero means that every connection shows fresh evidence.
func (t *Trust) MaxAge() time.Duration { return t.maxAge }

// ClockSkew returns how far the box's clock may differ from ours.
func (t *Trust) ClockSkew() time.Duration { return t.skew }

// Names returns the names of the reference values, in the order of the file.
func (t *Trust) Names() []string {
	names := make([]string, len(t.accept))
	for i, r := range t.accept {
		names[i] = r.name
	}
	return names
}

// Floor returns the TCB floor for a chip, and where it comes from: the trust
// file, or the built-in table.
func (t *Trust) Floor(p snp.Product, stepping uint8) (floor snp.TCB, source string) {
	if floor, ok := t.hardware.floors[p]; ok {
		return floor, "trust file"
	}
	return builtInFloor(p, stepping), "built-in floors of " + FloorsDate
}

// hasFloor reports whether the trust file itself has a floor for the product.
func (t *Trust) hasFloor(p snp.Product) bool {
	_, ok := t.hardware.floors[p]
	return ok
}
