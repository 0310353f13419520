package attesttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"math/big"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/amdforge"
)

// Bits of GUEST_POLICY (AMD 56860, table "Guest Policy Structure").
const (
	PolicySMT              uint64 = 1 << 16
	PolicyReservedOne      uint64 = 1 << 17
	PolicyMigrateMA        uint64 = 1 << 18
	PolicyDebug            uint64 = 1 << 19
	PolicySingleSocket     uint64 = 1 << 20
	PolicyCXLAllow         uint64 = 1 << 21
	PolicyAES256XTS        uint64 = 1 << 22
	PolicyRAPLDisable      uint64 = 1 << 23
	PolicyCiphertextHiding uint64 = 1 << 24
	PolicyPageSwapDisable  uint64 = 1 << 25
)

// Bits of PLATFORM_INFO (AMD 56860, ATTESTATION_REPORT at 0x40).
const (
	PlatformSMT              uint64 = 1 << 0
	PlatformTSME             uint64 = 1 << 1
	PlatformECC              uint64 = 1 << 2
	PlatformRAPLDisabled     uint64 = 1 << 3
	PlatformCiphertextHiding uint64 = 1 << 4
	PlatformAliasCheck       uint64 = 1 << 5
	PlatformTIO              uint64 = 1 << 7
)

// Values of SIGNING_KEY.
const (
	KeyVCEK = amdforge.KeyVCEK
	KeyVLEK = amdforge.KeyVLEK
	KeyNone = amdforge.KeyNone
)

// On puts the guest on a healthy machine of another line or with firmware that
// writes another report version. It replaces the report, so it comes first.
func On(l Line, version uint32) Option {
	return func(m *Machine) {
		m.Report = *amdforge.NewReport(l, version)
		m.Report.Measurement = Measurement()
		copy(m.Report.ChipID[:], ChipID(l))
		copy(m.Report.ReportID[:], ChipID(Genoa)[32:])
	}
}

// At moves the machine to another time: its certificate began a year earlier
// and ends six years later, its CRL is a day old and good for a year.
func At(now time.Time) Option {
	return func(m *Machine) {
		m.Now = now
		m.Cert.NotBefore, m.Cert.NotAfter = now.AddDate(-1, 0, 0), now.AddDate(6, 0, 0)
		m.ARKCRL = &CRL{CRLOptions: m.crlOptions()}
	}
}

func (m *Machine) crlOptions() amdforge.CRLOptions {
	return amdforge.CRLOptions{ThisUpdate: m.Now.AddDate(0, 0, -1), NextUpdate: m.Now.AddDate(1, 0, -1)}
}

// Kind labels the evidence, truly or not.
func Kind(k attest.Kind) Option { return func(m *Machine) { m.Kind = k } }

// EditReport changes fields of the report.
func EditReport(f func(*Report)) Option { return func(m *Machine) { f(&m.Report) } }

// EditCert changes what the certificate says.
func EditCert(f func(*Cert)) Option { return func(m *Machine) { f(&m.Cert) } }

// EditTemplate changes the certificate itself before it is signed. AMD's
// extensions are in ExtraExtensions.
func EditTemplate(f func(*x509.Certificate)) Option {
	return EditCert(func(c *Cert) { c.Edit = f })
}

// EditUnsigned changes bytes of the report before it is signed, as firmware
// with other ideas would.
func EditUnsigned(f func(report []byte)) Option {
	return func(m *Machine) { m.Unsigned = append(m.Unsigned, f) }
}

// EditSigned changes bytes of the report after it was signed, as a man in the
// middle would.
func EditSigned(f func(report []byte) []byte) Option {
	return func(m *Machine) { m.Signed = append(m.Signed, f) }
}

// EditEndorsements changes what is stapled.
func EditEndorsements(f func(attest.Endorsements) attest.Endorsements) Option {
	return func(m *Machine) { m.Endorse = append(m.Endorse, f) }
}

// WithMeasurement runs another guest.
func WithMeasurement(sum [48]byte) Option {
	return EditReport(func(r *Report) { r.Measurement = sum })
}

// HostData binds 32 bytes at launch; a box puts its policy's digest there.
func HostData(b [32]byte) Option { return EditReport(func(r *Report) { r.HostData = b }) }

// GuestSVN sets the guest's security version.
func GuestSVN(n uint32) Option { return EditReport(func(r *Report) { r.GuestSVN = n }) }

// PolicyBits sets bits of the guest policy.
func PolicyBits(bits uint64) Option { return EditReport(func(r *Report) { r.Policy |= bits }) }

// NoPolicyBits clears bits of the guest policy.
func NoPolicyBits(bits uint64) Option { return EditReport(func(r *Report) { r.Policy &^= bits }) }

// PlatformBits sets bits of PLATFORM_INFO.
func PlatformBits(bits uint64) Option { return EditReport(func(r *Report) { r.PlatformInfo |= bits }) }

// NoPlatformBits clears bits of PLATFORM_INFO.
func NoPlatformBits(bits uint64) Option {
	return EditReport(func(r *Report) { r.PlatformInfo &^= bits })
}

// Debug lets the host read the guest's memory.
func Debug() Option { return PolicyBits(PolicyDebug) }

// Migratable associates the guest with a migration agent that may export it.
func Migratable() Option {
	return EditReport(func(r *Report) {
		r.Policy |= PolicyMigrateMA
		r.ReportIDMA = [32]byte{1}
	})
}

// VMPL sets the privilege level the report was requested from.
func VMPL(n uint32) Option { return EditReport(func(r *Report) { r.VMPL = n }) }

// IDBlock launches the guest with an identity that its owner signed. With a
// zero author key, the id key is certified by nobody.
func IDBlock(family, image [16]byte, idKey, authorKey [48]byte) Option {
	return EditReport(func(r *Report) {
		r.FamilyID, r.ImageID = family, image
		r.IDKeyDigest, r.AuthorKeyDigest = idKey, authorKey
		r.AuthorKeyEn = authorKey != [48]byte{}
	})
}

// AllTCB sets all four TCB versions of the report, and so the certificate's.
func AllTCB(t TCB) Option {
	return EditReport(func(r *Report) {
		r.CurrentTCB, r.ReportedTCB, r.CommittedTCB, r.LaunchTCB = t, t, t, t
	})
}

// CertTCB sets the TCB version in the certificate alone.
func CertTCB(t TCB) Option { return EditCert(func(c *Cert) { c.TCB = t }) }

// HealthyTCB is what machines have unless an option says otherwise.
func HealthyTCB(l Line) TCB { return amdforge.HealthyTCB(l) }

// MitVectors sets the mitigations in force at launch and now (version 5).
func MitVectors(launch, current uint64) Option {
	return EditReport(func(r *Report) { r.LaunchMitVector, r.CurrentMitVector = launch, current })
}

// WithChip puts the guest on another chip.
func WithChip(id []byte) Option {
	return EditReport(func(r *Report) {
		r.ChipID = [64]byte{}
		copy(r.ChipID[:], id)
	})
}

// CertHWID sets the hardware id in the certificate alone.
func CertHWID(id []byte) Option { return EditCert(func(c *Cert) { c.HWID = id }) }

// MaskedChip hides the chip id from the report, which the host may do; the
// certificate still holds it.
func MaskedChip() Option {
	return func(m *Machine) {
		m.Cert.HWID = ChipID(m.Report.Line)
		m.Report.MaskChipKey = true
		m.Report.ChipID = [64]byte{}
	}
}

// VLEK signs with a cloud provider's key instead of the chip's.
func VLEK(csp string) Option {
	return func(m *Machine) {
		m.Cert.VLEK, m.Cert.CSPID = true, csp
		m.Report.SigningKey = KeyVLEK
	}
}

// SigningKey says in the report which key signed, truly or not.
func SigningKey(k uint8) Option { return EditReport(func(r *Report) { r.SigningKey = k }) }

// OnCurve makes a signing key on another curve.
func OnCurve(c elliptic.Curve) Option { return EditCert(func(o *Cert) { o.Curve = c }) }

// OverSHA256 signs the right bytes with the right key over the wrong hash.
func OverSHA256() Option {
	return func(m *Machine) {
		m.Sign = func(report []byte, key *ecdsa.PrivateKey) error {
			sum := sha256.Sum256(report[:amdforge.SignedSize])
			return amdforge.SignDigest(report, key, sum[:])
		}
	}
}

// EditSignature changes the two numbers of the signature; n is the order of the
// curve.
func EditSignature(f func(r, s, n *big.Int)) Option {
	return func(m *Machine) {
		sign := m.Sign
		m.Sign = func(report []byte, key *ecdsa.PrivateKey) error {
			if err := sign(report, key); err != nil {
				return err
			}
			r, s, err := amdforge.Signature(report)
			if err != nil {
				return err
			}
			f(r, s, key.Params().N)
			return amdforge.PutSignature(report, r, s)
		}
	}
}

// IssuedBy has another CA sign the certificate of the signing key.
func IssuedBy(ca *CA) Option { return func(m *Machine) { m.Issuer = ca } }

// CertValid sets the validity of the signing key's certificate.
func CertValid(from, to time.Time) Option {
	return EditCert(func(c *Cert) { c.NotBefore, c.NotAfter = from, to })
}

// NoCRL staples no revocation list.
func NoCRL() Option { return func(m *Machine) { m.ARKCRL, m.ASKCRL = nil, nil } }

// ARKCRL changes the root's revocation list.
func ARKCRL(f func(*CRL)) Option {
	return func(m *Machine) {
		m.ARKCRL = &CRL{CRLOptions: m.crlOptions()}
		f(m.ARKCRL)
	}
}

// ASKCRL staples a revocation list of the ASK or ASVK, changed by f.
func ASKCRL(f func(*CRL)) Option {
	return func(m *Machine) {
		m.ASKCRL = &CRL{CRLOptions: m.crlOptions()}
		f(m.ASKCRL)
	}
}

// Revoke lists serial numbers.
func Revoke(serials ...*big.Int) func(*CRL) {
	return func(c *CRL) { c.Revoked = append(c.Revoked, serials...) }
}

// InTable staples the signing key's certificate, and whatever else, in the form
// in which a hypervisor hands it to its guest, and no longer by itself.
func InTable(more ...TableEntry) Option {
	return EditTable(func(vek TableEntry) []byte {
		return amdforge.CertTable(append([]TableEntry{vek}, more...)...)
	})
}

// TableEntry is one certificate of a table, TableRow one line of the index of a
// table that lies.
type (
	TableEntry = amdforge.TableEntry
	TableRow   = amdforge.TableRow
)

// EditTable replaces the signing key's certificate with a table made by f.
func EditTable(f func(vek TableEntry) []byte) Option {
	return func(m *Machine) {
		guid := amdforge.GUIDVCEK
		if m.Cert.VLEK {
			guid = amdforge.GUIDVLEK
		}
		m.Endorse = append(m.Endorse, func(end attest.Endorsements) attest.Endorsements {
			for i, e := range end {
				if e.Label == attest.LabelSNPVEK {
					end[i] = attest.Endorsement{Label: attest.LabelSNPCertTable, Data: f(TableEntry{GUID: guid, Data: e.Data})}
				}
			}
			return end
		})
	}
}
