package attesttest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/internal/nvforge"
)

// NVIDIA is a vendor of GPUs: roots for devices and manifests, and devices on
// demand. It is safe for concurrent use.
type NVIDIA struct {
	mu      sync.Mutex
	certs   map[certKey]*nvforge.CA
	keys    map[string]*ecdsa.PrivateKey
	answers map[answerKey][]byte
	vectors shared
}

// certKey tells what is made once: a certificate by what is in it and who issued it.
type certKey struct {
	content string
	issuer  *nvforge.CA
}

// answerKey tells the healthy OCSP responses that are made once.
type answerKey struct {
	cert, issuer *nvforge.CA
	at           time.Time
}

var (
	newNVIDIA      = sync.OnceValue(makeNVIDIA)
	strangerNVIDIA = sync.OnceValue(makeNVIDIA)
)

// NewNVIDIA returns the vendor. It is the same one throughout the process.
func NewNVIDIA() *NVIDIA { return newNVIDIA() }

// StrangerNVIDIA returns somebody who has given his own keys the vendor's names.
func StrangerNVIDIA() *NVIDIA { return strangerNVIDIA() }

func makeNVIDIA() *NVIDIA {
	return &NVIDIA{certs: make(map[certKey]*nvforge.CA), keys: make(map[string]*ecdsa.PrivateKey), answers: make(map[answerKey][]byte)}
}

// remembered returns what was made before under that key, or makes it.
func remembered[K comparable, V any](n *NVIDIA, in map[K]V, key K, made func() V) V {
	n.mu.Lock()
	out, found := in[key]
	n.mu.Unlock()
	if found {
		return out
	}
	out = made()
	n.mu.Lock()
	defer n.mu.Unlock()
	if first, found := in[key]; found {
		return first
	}
	in[key] = out
	return out
}

// Names of the certificates, from the leaf up.
const (
	gpuLeaf     = "leaf"
	gpuDevice   = "device"
	gpuICA      = "ica"
	gpuIdentity = "identity"
	gpuRoot     = "root"
	rimSigner   = "rim-signer"
	rimL3       = "rim-l3"
	rimL2       = "rim-l2"
	rimRoot     = "rim-root"
)

// Roots returns the certificates that a verifier would pin, DER: that of the
// devices and that of the manifests.
func (n *NVIDIA) Roots(t testing.TB) (device, rim []byte) {
	t.Helper()
	return n.cert(t, gpuRoot, nil, nil).Cert.Raw, n.cert(t, rimRoot, nil, nil).Cert.Raw
}

// key returns the key of that name, made once.
func (n *NVIDIA) key(t testing.TB, name string, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	return remembered(n, n.keys, name+curve.Params().Name, func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatalf("attesttest: %v", err)
		}
		return key
	})
}

// cert returns the certificate of that name. One without an edit is made once.
func (n *NVIDIA) cert(t testing.TB, name string, issuer *nvforge.CA, edit func(*nvforge.Cert)) *nvforge.CA {
	t.Helper()
	if edit == nil {
		return n.once(t, name, name, issuer, func(*nvforge.Cert) {})
	}
	return n.issue(t, name, issuer, edit)
}

// once returns the certificate with that content, which is what the edit makes of
// it. It is made once.
func (n *NVIDIA) once(t testing.TB, name, content string, issuer *nvforge.CA, edit func(*nvforge.Cert)) *nvforge.CA {
	t.Helper()
	return remembered(n, n.certs, certKey{content, issuer}, func() *nvforge.CA { return n.issue(t, name, issuer, edit) })
}

func (n *NVIDIA) issue(t testing.TB, name string, issuer *nvforge.CA, edit func(*nvforge.Cert)) *nvforge.CA {
	t.Helper()
	from, to := rootsValid()
	c := nvforge.Cert{Name: "Fake NVIDIA " + name, CA: true, NotBefore: from, NotAfter: to}
	edit(&c)
	curve := c.Curve
	if curve == nil {
		curve = elliptic.P384()
	}
	out, err := nvforge.IssueFor(c, issuer, n.key(t, name, curve))
	if err != nil {
		t.Fatalf("attesttest: %v", err)
	}
	return out
}

// GPU is everything that decides what one device and its vendor's services
// send. Options change it.
type GPU struct {
	Vendor *NVIDIA
	Kind   attest.Kind
	// Serial tells devices apart; it is part of the device's name.
	Serial string
	Chip   string
	Now    time.Time
	Report *nvforge.Report
	// FWID is the firmware that the key is certified for.
	FWID []byte
	// Certs changes certificates by their name, Chain the list of them.
	Certs map[string]func(*nvforge.Cert)
	Chain []func([]*nvforge.CA) []*nvforge.CA
	// Unsigned changes bytes before the device signs, Signed after it, PEM the
	// text of the certificates.
	Unsigned, Signed, PEM []func([]byte) []byte
	// Digest hashes what is signed; nil means SHA-384.
	Digest func([]byte) []byte
	// Driver and VBIOS are the manifests; nil staples none.
	Driver, VBIOS *nvforge.Manifest
	RIMChain      []func([]*nvforge.CA) []*nvforge.CA
	// OCSP changes the answer about the certificate of that name; NoOCSP staples
	// none.
	OCSP    map[string]func(*nvforge.Answer)
	NoOCSP  bool
	Endorse []func(attest.Endorsements) attest.Endorsements
}

// GPUOption changes a device.
type GPUOption func(*GPU)

// What every device runs.
const (
	gpuDriver   = "999.01.02"
	gpuMeasured = 64
)

// GPURIMs are the names of the manifests for what the GPU runs.
const (
	GPUDriverRIM = "NV_GPU_DRIVER_GH100_999.01.02"
	GPUVBIOSRIM  = "NV_GPU_VBIOS_1010_0200_882_9600DD0001"
	SwitchRIM    = "NV_SWITCH_BIOS_5612_0002_890_9610DD0001"
)

func gpuValue(i int) []byte {
	if i >= 40 {
		return make([]byte, 48)
	}
	sum := sha512.Sum384([]byte{byte(i)})
	return sum[:]
}

func gpuFWID() []byte {
	sum := sha512.Sum384([]byte("firmware"))
	return sum[:]
}

// resources lists all measurements; those in one of the ranges are active.
func resources(count int, ranges ...[2]int) []nvforge.Resource {
	var out []nvforge.Resource
	for i := range count {
		r := nvforge.Resource{Index: i, Values: []string{strings.Repeat("00", 48)}}
		for _, span := range ranges {
			if i >= span[0] && i < span[1] {
				r.Active, r.Values = true, []string{hex.EncodeToString(gpuValue(i))}
			}
		}
		out = append(out, r)
	}
	return out
}

func gpuFields() []nvforge.Field {
	counters := make([]byte, 4*gpuMeasured)
	for i := range 40 {
		counters[4*i] = 1
	}
	return []nvforge.Field{
		{Type: 6, Value: []byte{0, 0xdd, 0, 0x96, 1, 0, 0, 0}}, {Type: 14, Value: []byte{1, 2, 3, 4}},
		{Type: 15, Value: []byte("882\x00\x00\x00\x00\x00\x00")}, {Type: 17, Value: []byte("1010\x00")}, {Type: 18, Value: []byte("0200\x00")},
		{Type: 3, Value: append([]byte(gpuDriver), 0)}, {Type: 12, Value: counters}, {Type: 11, Value: []byte{0xaa}},
		{Type: 20, Value: gpuFWID()}, {Type: 21, Value: []byte{0x55}},
	}
}

// newGPU returns a healthy H100.
func (n *NVIDIA) newGPU(nonce [32]byte) *GPU {
	values := make([][]byte, gpuMeasured)
	for i := range values {
		values[i] = gpuValue(i)
	}
	return &GPU{
		Vendor: n, Kind: attest.NVIDIAGPU, Serial: "48B02D0000000001", Chip: "GH100", Now: Epoch(), FWID: gpuFWID(),
		Report: nvforge.NewReport(nonce, values, gpuFields()),
		Certs:  make(map[string]func(*nvforge.Cert)), OCSP: make(map[string]func(*nvforge.Answer)),
		Driver: &nvforge.Manifest{Product: "GH100", Edition: "GPU", Version: gpuDriver, Resources: resources(gpuMeasured, [2]int{10, 20})},
		VBIOS:  &nvforge.Manifest{Product: "GH100", Edition: "GPU", Version: "96.00.DD.00.01", Resources: resources(gpuMeasured, [2]int{0, 10}, [2]int{30, 40})},
	}
}

// MakeGPU returns the Evidence of a device and what its vendor says of it. With no
// options it is a healthy H100 with both manifests and all OCSP responses.
func (n *NVIDIA) MakeGPU(t testing.TB, nonce [32]byte, opts ...GPUOption) (attest.Evidence, attest.Endorsements) {
	t.Helper()
	g := n.newGPU(nonce)
	for _, o := range opts {
		o(g)
	}
	chain := g.chain(t)
	report := g.sign(t, chain[0].Key)
	pem := apply(g.PEM, nvforge.PEM(chain...))
	ev := attest.Evidence{Kind: g.Kind, Data: nvforge.Evidence(report, pem)}
	return ev, g.endorsements(t, chain)
}

func apply[T any](edits []func(T) T, v T) T {
	for _, edit := range edits {
		v = edit(v)
	}
	return v
}

func (g *GPU) sign(t testing.TB, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	message := apply(g.Unsigned, g.Report.Encode())
	digest := sha512.Sum384(message)
	sum := digest[:]
	if g.Digest != nil {
		sum = g.Digest(message)
	}
	signed, err := nvforge.SignDigest(message, key, sum)
	if err != nil {
		t.Fatalf("attesttest: %v", err)
	}
	return apply(g.Signed, signed)
}

// chain returns the device's certificates, leaf first.
func (g *GPU) chain(t testing.TB) []*nvforge.CA {
	t.Helper()
	n := g.Vendor
	root := n.cert(t, gpuRoot, nil, g.Certs[gpuRoot])
	identity := n.cert(t, gpuIdentity, root, g.Certs[gpuIdentity])
	ica := n.cert(t, gpuICA, identity, g.Certs[gpuICA])
	device := n.cert(t, gpuDevice+g.Serial, ica, g.Certs[gpuDevice])
	leaf := n.edited(t, gpuLeaf+g.Serial, fmt.Sprintf("%s %x", g.Chip, g.FWID), device, func(c *nvforge.Cert) {
		c.CA, c.Name = false, g.Chip+" A01 GSP FMC LF"
		c.Extra = append(c.Extra, nvforge.UEID("NVIDIA:"+g.Chip+":"+g.Serial), nvforge.Composite(device, g.FWID))
	}, g.Certs[gpuLeaf])
	return apply(g.Chain, []*nvforge.CA{leaf, device, ica, identity, root})
}

// edited returns a certificate with that content, which is made once unless it is
// changed further.
func (n *NVIDIA) edited(t testing.TB, name, content string, issuer *nvforge.CA, edit, further func(*nvforge.Cert)) *nvforge.CA {
	t.Helper()
	if further == nil {
		return n.once(t, name, name+" "+content, issuer, edit)
	}
	return n.issue(t, name, issuer, func(c *nvforge.Cert) {
		edit(c)
		further(c)
	})
}

func (g *GPU) rimChain(t testing.TB) []*nvforge.CA {
	t.Helper()
	n := g.Vendor
	root := n.cert(t, rimRoot, nil, g.Certs[rimRoot])
	l2 := n.cert(t, rimL2, root, g.Certs[rimL2])
	l3 := n.cert(t, rimL3, l2, g.Certs[rimL3])
	signer := n.edited(t, rimSigner, g.Now.String(), l3, func(c *nvforge.Cert) {
		c.CA, c.NotAfter = false, g.Now.AddDate(2, 0, 0)
	}, g.Certs[rimSigner])
	return apply(g.RIMChain, []*nvforge.CA{signer, l3, l2, root})
}

func (g *GPU) endorsements(t testing.TB, chain []*nvforge.CA) attest.Endorsements {
	t.Helper()
	var end attest.Endorsements
	rims := g.rimChain(t)
	for _, m := range []struct {
		id       string
		manifest *nvforge.Manifest
	}{{GPUDriverRIM, g.Driver}, {g.vbiosRIM(), g.VBIOS}} {
		if m.manifest == nil {
			continue
		}
		xml, err := m.manifest.Sign(rims...)
		if err != nil {
			t.Fatalf("attesttest: %v", err)
		}
		end = append(end, attest.Endorsement{Label: attest.LabelNVIDIARIM + m.id, Data: xml})
	}
	if !g.NoOCSP {
		end = append(end, g.answers(t, chain[1:], gpuDevice, gpuICA, gpuIdentity)...)
		if g.Driver != nil || g.VBIOS != nil {
			end = append(end, g.answers(t, rims, rimSigner, rimL3, rimL2)...)
		}
	}
	return apply(g.Endorse, end)
}

func (g *GPU) vbiosRIM() string {
	if g.Kind == attest.NVSwitch {
		return SwitchRIM
	}
	return GPUVBIOSRIM
}

// answers asks about each certificate of a path but its root.
func (g *GPU) answers(t testing.TB, path []*nvforge.CA, names ...string) attest.Endorsements {
	t.Helper()
	var end attest.Endorsements
	for i, name := range names {
		if i+1 >= len(path) {
			break
		}
		var der []byte
		if edit := g.OCSP[name]; edit != nil {
			der = g.answer(t, path[i], path[i+1], edit)
		} else {
			key := answerKey{path[i], path[i+1], g.Now}
			der = remembered(g.Vendor, g.Vendor.answers, key, func() []byte { return g.answer(t, path[i], path[i+1], func(*nvforge.Answer) {}) })
		}
		label := attest.LabelNVIDIAOCSP + path[i].Cert.SerialNumber.Text(16)
		end = append(end, attest.Endorsement{Label: label, Data: bytes.Clone(der)})
	}
	return end
}

func (g *GPU) answer(t testing.TB, about, issuer *nvforge.CA, edit func(*nvforge.Answer)) []byte {
	t.Helper()
	signer := g.responder(t, issuer, nil)
	a := nvforge.Answer{
		Cert: about.Cert, Issuer: issuer.Cert, ThisUpdate: g.Now.Add(-time.Hour), NextUpdate: g.Now.Add(24 * time.Hour),
		Signer: signer, Delegates: []*nvforge.CA{signer},
	}
	edit(&a)
	der, err := a.Encode()
	if err != nil {
		t.Fatalf("attesttest: %v", err)
	}
	return der
}

// responder returns a key that the issuer allows to answer for it.
func (g *GPU) responder(t testing.TB, issuer *nvforge.CA, edit func(*nvforge.Cert)) *nvforge.CA {
	t.Helper()
	name := "OCSP of " + issuer.Cert.Subject.CommonName
	return g.Vendor.edited(t, name, "", issuer, func(c *nvforge.Cert) { c.CA, c.Responder = false, true }, edit)
}

// Switch makes the device an NVSwitch.
func Switch() GPUOption {
	return func(g *GPU) {
		g.Kind, g.Chip, g.Driver = attest.NVSwitch, "LS_10", nil
		g.Report.Blocks = g.Report.Blocks[:31]
		counters := make([]byte, 4*26)
		g.Report.Fields = []nvforge.Field{{Type: 6, Value: []byte("96.10.DD.00.01")}, {Type: 22, Value: make([]byte, 8)}, {Type: 12, Value: counters}}
		g.VBIOS = &nvforge.Manifest{Product: "LS10", Edition: "SWITCH", Version: "96.10.DD.00.01", Resources: resources(31, [2]int{0, 31})}
	}
}

// Blackwell makes the device a GB100, whose certificate names the firmware in
// another extension.
func Blackwell() GPUOption {
	return func(g *GPU) {
		g.Chip = "GB100"
		g.Certs[gpuLeaf] = func(c *nvforge.Cert) {
			c.Extra[len(c.Extra)-1] = nvforge.TCBInfo(g.FWID, make([]byte, 48))
		}
		g.Driver, g.VBIOS.Product = nil, "GB100"
	}
}

// GPUSerial makes it another device.
func GPUSerial(s string) GPUOption { return func(g *GPU) { g.Serial = s } }

// EditGPUReport changes fields before the device signs.
func EditGPUReport(f func(*nvforge.Report)) GPUOption { return func(g *GPU) { f(g.Report) } }

// SetGPUField replaces a field of the opaque data; nil removes it.
func SetGPUField(id uint16, value []byte) GPUOption {
	return EditGPUReport(func(r *nvforge.Report) {
		var out []nvforge.Field
		for _, f := range r.Fields {
			if f.Type != id {
				out = append(out, f)
			}
		}
		if value != nil {
			out = append(out, nvforge.Field{Type: id, Value: value})
		}
		r.Fields = out
	})
}

// GPUMeasures changes a measurement, counted as manifests do.
func GPUMeasures(index int, value []byte) GPUOption {
	return EditGPUReport(func(r *nvforge.Report) { r.Blocks[index].Value = value })
}

// EditGPUCert changes a certificate: leaf, device, ica, identity, root,
// rim-signer, rim-l3, rim-l2 or rim-root.
func EditGPUCert(name string, f func(*nvforge.Cert)) GPUOption {
	return func(g *GPU) {
		before := g.Certs[name]
		g.Certs[name] = func(c *nvforge.Cert) {
			if before != nil {
				before(c)
			}
			f(c)
		}
	}
}

// EditGPUChain changes the list of the device's certificates.
func EditGPUChain(f func([]*nvforge.CA) []*nvforge.CA) GPUOption {
	return func(g *GPU) { g.Chain = append(g.Chain, f) }
}

// EditRIMChain changes the list of the certificates in the manifests.
func EditRIMChain(f func([]*nvforge.CA) []*nvforge.CA) GPUOption {
	return func(g *GPU) { g.RIMChain = append(g.RIMChain, f) }
}

// EditGPUUnsigned changes bytes before the device signs them, EditGPUSigned
// after it.
func EditGPUUnsigned(f func([]byte) []byte) GPUOption {
	return func(g *GPU) { g.Unsigned = append(g.Unsigned, f) }
}

// EditGPUSigned changes bytes of the signed report.
func EditGPUSigned(f func([]byte) []byte) GPUOption {
	return func(g *GPU) { g.Signed = append(g.Signed, f) }
}

// DriverRIM changes the driver's manifest, VBIOSRIM the firmware's.
func DriverRIM(f func(*nvforge.Manifest)) GPUOption { return func(g *GPU) { f(g.Driver) } }

// VBIOSRIM changes the firmware's manifest.
func VBIOSRIM(f func(*nvforge.Manifest)) GPUOption { return func(g *GPU) { f(g.VBIOS) } }

// NoRIMs staples no manifest.
func NoRIMs() GPUOption { return func(g *GPU) { g.Driver, g.VBIOS = nil, nil } }

// NoOCSP staples no answer about any certificate.
func NoOCSP() GPUOption { return func(g *GPU) { g.NoOCSP = true } }

// EditOCSP changes the answer about the certificate of that name.
func EditOCSP(name string, f func(*nvforge.Answer)) GPUOption {
	return func(g *GPU) { g.OCSP[name] = f }
}

// EditGPUEndorsements changes what is stapled.
func EditGPUEndorsements(f func(attest.Endorsements) attest.Endorsements) GPUOption {
	return func(g *GPU) { g.Endorse = append(g.Endorse, f) }
}

// Composite returns several parts as one Evidence.
func Composite(parts ...attest.Evidence) attest.Evidence {
	out := append([]byte("BBXCOMP1"), byte(len(parts)))
	for _, p := range parts {
		for _, b := range [][]byte{[]byte(p.Kind.String()), p.Data} {
			out = append(binary.BigEndian.AppendUint32(out, uint32(len(b))), b...)
		}
	}
	return attest.Evidence{Kind: attest.Composite, Data: out}
}

// otherSerial is a serial number that nobody else has.
func otherSerial() *big.Int { return new(big.Int).SetBytes([]byte("another serial")) }
