package launch

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/form"
	"github.com/blindbox/blindbox/attest/internal/awsforge"
)

var document = []byte("name: a\nmodels: [{name: m, builtin: tumour}]\n")

func statement(policy []byte) attest.Statement {
	at := time.Unix(1_800_000_000, 0).UTC()
	return attest.Statement{
		Purpose: attest.PurposeKeys, Role: attest.RoleServer, Nonce: [32]byte{1}, SPKI: attest.Digest{2},
		Policy: sha256.Sum256(policy), NotBefore: at, NotAfter: at,
	}
}

func bind(t testing.TB, s attest.Statement) attest.Bound {
	t.Helper()
	b, err := s.Bind()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// machine makes Evidence of a box that was launched with a policy, over b.
type machine func(t *testing.T, b attest.Bound, policy [32]byte) attest.Evidence

func intel(k attest.Kind, version uint16) machine {
	return func(t *testing.T, b attest.Bound, policy [32]byte) attest.Evidence {
		opts := []attesttest.IntelOption{attesttest.EditTD(func(d *attesttest.IntelTD) { copy(d.MRCONFIGID[:], policy[:]) }),
			attesttest.EditSGX(func(e *attesttest.IntelEnclave) { copy(e.ConfigID[:], policy[:]) })}
		if version != 0 {
			opts = append([]attesttest.IntelOption{attesttest.QuoteVersion(version)}, opts...)
		}
		ev, _ := attesttest.NewIntel().Make(t, k, b.Bytes(), opts...)
		return ev
	}
}

func extended(policy [32]byte) func(*attesttest.TPMMachine) {
	return func(m *attesttest.TPMMachine) {
		sum := sha256.Sum256(append(make([]byte, 32), policy[:]...))
		m.Registers[tpmPCR] = sum[:]
	}
}

func azure(k attest.Kind) machine {
	return func(t *testing.T, b attest.Bound, policy [32]byte) attest.Evidence {
		nonce := b.Nonce(k)
		opts := []attesttest.ParavisorOption{func(p *attesttest.Paravisor) { extended(policy)(p.TPM) }}
		if k == attest.AzureTDX {
			opts = append(opts, attesttest.OnTDX())
		}
		ev, _ := attesttest.MakeAzure(t, nonce[:], opts...)
		return ev
	}
}

func snp(t *testing.T, b attest.Bound, policy [32]byte) attest.Evidence {
	ev, _ := attesttest.New().Make(t, b.Bytes(), attesttest.HostData(policy))
	return ev
}

var machines = []struct {
	name, field string
	make        machine
}{
	{"sev-snp", "HOST_DATA of sev-snp", snp},
	{"sim-sev-snp", "HOST_DATA of sim-sev-snp", func(t *testing.T, b attest.Bound, policy [32]byte) attest.Evidence {
		ev := snp(t, b, policy)
		ev.Kind = attest.SimSNP
		return ev
	}},
	{"tdx, version 4", "MRCONFIGID of tdx", intel(attest.TDX, 4)},
	{"tdx, version 5", "MRCONFIGID of tdx", intel(attest.TDX, 5)},
	{"sgx, version 3", "CONFIGID of sgx", intel(attest.SGX, 3)},
	{"sgx, version 5", "CONFIGID of sgx", intel(attest.SGX, 5)},
	{"nitro", "PCR16 of nitro", func(t *testing.T, b attest.Bound, policy [32]byte) attest.Evidence {
		return attesttest.NewAWS().Make(t, b.Bytes(), attesttest.EnclavePolicy(policy))
	}},
	{"tpm", "PCR15 of tpm", func(t *testing.T, b attest.Bound, policy [32]byte) attest.Evidence {
		nonce := b.Nonce(attest.TPM)
		ev, _ := attesttest.MakeTPM(t, nonce[:], extended(policy))
		return ev
	}},
	{"azure-sev-snp", "PCR15 of azure-sev-snp", azure(attest.AzureSNP)},
	{"azure-tdx", "PCR15 of azure-tdx", azure(attest.AzureTDX)},
	{"composite", "HOST_DATA of sev-snp", func(t *testing.T, b attest.Bound, policy [32]byte) attest.Evidence {
		ev, err := form.EncodeComposite([]attest.Evidence{snp(t, b, policy), {Kind: attest.NVIDIAGPU, Data: []byte("a GPU")}})
		if err != nil {
			t.Fatal(err)
		}
		return ev
	}},
}

// TestAgree: for every kind, each of launch, statement, loaded policy and signed
// bytes is changed alone; cut-off Evidence is an error.
func TestAgree(t *testing.T) {
	s := statement(document)
	other := statement(append(document[:len(document):len(document)], ' '))
	elsewhere := s
	elsewhere.Nonce[0]++
	for _, m := range machines {
		t.Run(m.name, func(t *testing.T) {
			good := m.make(t, bind(t, s), s.Policy)
			if err := Agree(good, s, document); err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				name   string
				ev     attest.Evidence
				s      attest.Statement
				loaded string
				want   []string
			}{
				{"launch", m.make(t, bind(t, s), other.Policy), s, string(document), []string{m.field + " is "}},
				{"statement", m.make(t, bind(t, other), s.Policy), other, string(document), []string{"the statement names the policy"}},
				{"loaded", good, s, string(document) + " ", []string{"the statement names the policy", m.field + " is "}},
				{"signed", m.make(t, bind(t, elsewhere), s.Policy), s, string(document), []string{" signed "}},
			} {
				err := Agree(c.ev, c.s, []byte(c.loaded))
				if !errors.Is(err, ErrOther) || strings.Count(err.Error(), "\n") != len(c.want)-1 {
					t.Errorf("%s: got %v", c.name, err)
					continue
				}
				for _, want := range c.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%s: got %v, expected %s", c.name, err, want)
					}
				}
			}
			for _, n := range []int{0, 1, 7, 100} {
				cut := attest.Evidence{Kind: good.Kind, Data: good.Data[:n]}
				if err := Agree(cut, s, document); err == nil || errors.Is(err, ErrOther) {
					t.Errorf("%d bytes: %v", n, err)
				}
			}
		})
	}
}

// TestNoKindWithout: a kind without a launch binding never agrees.
func TestNoKindWithout(t *testing.T) {
	s := statement(document)
	has := map[attest.Kind]bool{}
	for _, m := range machines {
		has[m.make(t, bind(t, s), s.Policy).Kind] = true
	}
	for _, k := range append(attest.Kinds(), attest.KindInvalid) {
		err := Agree(attest.Evidence{Kind: k, Data: make([]byte, 4096)}, s, document)
		if err == nil || !has[k] && !strings.Contains(err.Error(), "nothing in it was bound when the box was launched") {
			t.Errorf("%s: %v", k, err)
		}
	}
	if err := Agree(snp(t, bind(t, s), s.Policy), attest.Statement{}, document); err == nil || errors.Is(err, ErrOther) {
		t.Errorf("a statement that says nothing: %v", err)
	}
	if err := Holds(snp(t, bind(t, s), [32]byte{}), bind(t, s), attest.Digest{}); err == nil {
		t.Error("no policy agrees with none at launch")
	}
	if err := Holds(snp(t, bind(t, s), s.Policy), attest.Bound{}, s.Policy); err == nil || errors.Is(err, ErrOther) {
		t.Errorf("nothing was signed: %v", err)
	}
	for _, k := range []attest.Kind{attest.TPM, attest.AzureSNP, attest.AzureTDX, attest.Nitro} {
		if _, err := Read(attest.Evidence{Kind: k, Data: []byte("something else")}); err == nil || strings.Contains(err.Error(), "algorithm") || strings.Contains(err.Error(), "user_data") {
			t.Errorf("%s: %v", k, err)
		}
	}
	if _, err := Read(attest.Evidence{Kind: attest.SNP, Data: make([]byte, attest.MaxEvidence+1)}); err == nil || !strings.Contains(err.Error(), "the limit is") {
		t.Errorf("too long: %v", err)
	}
}

// TestFields: what is longer than a digest must end in zeros, registers that are not
// in the quote do not count, and a quote of something else is none.
func TestFields(t *testing.T) {
	s := statement(document)
	b := bind(t, s)
	nonce := b.Nonce(attest.TPM)
	tpm := func(opts ...attesttest.TPMOption) attest.Evidence {
		ev, _ := attesttest.MakeTPM(t, nonce[:], append([]attesttest.TPMOption{extended(s.Policy)}, opts...)...)
		return ev
	}
	td, _ := attesttest.NewIntel().Make(t, attest.TDX, b.Bytes(), attesttest.EditTD(func(d *attesttest.IntelTD) {
		copy(d.MRCONFIGID[:], s.Policy[:])
		d.MRCONFIGID[47] = 1
	}))
	// quoted changes a byte of a quote: of its head if at is not negative, of what is
	// behind the sized field with extraData otherwise, -1 being the last one.
	quoted := func(at int, to byte) attest.Evidence {
		return tpm(func(m *attesttest.TPMMachine) {
			m.Form = append(m.Form, func(f *form.TPM) {
				if at < 0 {
					at += len(f.Quote)
				}
				f.Quote[at] = to
			})
		})
	}
	const selection = -(2 + sha256.Size) - (4 + 2 + 1 + 3) // from the end
	quote := func(version uint16, tee byte) attest.Evidence {
		data := make([]byte, 2000)
		data[0], data[4] = byte(version), tee
		return attest.Evidence{Kind: attest.TDX, Data: data}
	}
	for _, c := range []struct {
		name string
		ev   attest.Evidence
		want string
	}{
		{"more than the digest", td, "MRCONFIGID of tdx is"},
		{"another TEE's quote", quote(4, 0), "TEE type 0x0"},
		{"a version that is not", quote(6, 0x81), "version 6"},
		{"no PCR16", attesttest.NewAWS().Make(t, b.Bytes(), attesttest.SetPCR(16, nil)), "number 16: none"},
		{"a value beside the quote", tpm(func(m *attesttest.TPMMachine) {
			extended([32]byte{9})(m)
			m.Form = append(m.Form, func(f *form.TPM) {
				for i := range f.PCRs {
					if f.PCRs[i].Index == tpmPCR {
						sum := sha256.Sum256(append(make([]byte, 32), s.Policy[:]...))
						f.PCRs[i].Value = sum[:]
					}
				}
			})
		}), "those beside it give"},
		{"without the register", tpm(func(m *attesttest.TPMMachine) { m.Form = append(m.Form, func(f *form.TPM) { f.PCRs = f.PCRs[:3] }) }), "no value of PCR15"},
		{"another bank", tpm(func(m *attesttest.TPMMachine) { m.Form = append(m.Form, func(f *form.TPM) { f.Bank = 4 }) }), "expected SHA-256"},
		{"another register's value under its number", tpm(func(m *attesttest.TPMMachine) {
			m.Registers[14] = m.Registers[15]
			m.Select = m.Select[:len(m.Select)-1]
			m.Form = append(m.Form, func(f *form.TPM) { f.PCRs[len(f.PCRs)-1].Index = tpmPCR })
		}), "a quote over registers 0x"},
		{"cut off", tpm(func(m *attesttest.TPMMachine) {
			m.Form = append(m.Form, func(f *form.TPM) { f.Quote = f.Quote[:len(f.Quote)-1] })
		}), "cut off"},
		{"cut off before the digest", tpm(func(m *attesttest.TPMMachine) {
			m.Form = append(m.Form, func(f *form.TPM) { f.Quote = f.Quote[:len(f.Quote)-sha256.Size] })
		}), "cut off"},
		{"another magic", quoted(0, 0), "expected a quote"},
		{"another type", quoted(5, 0x17), "expected a quote"},
		{"two selections", quoted(selection+3, 2), "over a selection"},
		{"a selection of another bank", quoted(selection+5, 4), "over a selection"},
		{"a selection of two bytes", quoted(selection+6, 2), "over a selection"},
		{"no user data", attesttest.NewAWS().Make(t, b.Bytes(), attesttest.EnclavePolicy(s.Policy), attesttest.EditEnclave(func(d *awsforge.Document) {
			d.Edit = func(f []awsforge.Pair) []awsforge.Pair { return awsforge.Without(f, "user_data") }
		})), "user_data"},
		{"bytes behind", tpm(func(m *attesttest.TPMMachine) {
			m.Form = append(m.Form, func(f *form.TPM) { f.Quote = append(f.Quote, 0) })
		}), "bytes behind it"},
		{"no quote", tpm(func(m *attesttest.TPMMachine) { m.Form = append(m.Form, func(f *form.TPM) { f.Quote[5]++ }) }), "expected a quote"},
	} {
		if err := Agree(c.ev, s, document); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, expected %s", c.name, err, c.want)
		}
	}
}

// FuzzRead: whatever a driver hands out, nothing panics.
func FuzzRead(f *testing.F) {
	f.Add(byte(attest.TPM), []byte("BBXTPMQ1"))
	f.Add(byte(attest.Nitro), []byte{0x84, 0x40, 0xa0, 0x41, 0xa0, 0x40})
	f.Add(byte(attest.Composite), []byte("BBXCOMP1\x02"))
	f.Add(byte(attest.TDX), make([]byte, 700))
	f.Fuzz(func(t *testing.T, k byte, data []byte) {
		r, err := Read(attest.Evidence{Kind: attest.Kind(k), Data: data})
		if err != nil && (r.Digest != nil || r.Signed != nil) {
			t.Errorf("a value and an error: %+v, %v", r, err)
		}
	})
}
