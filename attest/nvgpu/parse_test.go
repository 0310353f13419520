package nvgpu_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/attesttest"
	"github.com/blindbox/blindbox/attest/attesttest/casetest"
	"github.com/blindbox/blindbox/attest/internal/nvforge"
	"github.com/blindbox/blindbox/attest/nvgpu"
)

func TestXMLRefused(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                  "",
		"text only":                "a",
		"not closed":               "<a>",
		"closed by another":        "<a></b>",
		"closed by another prefix": `<p:a xmlns:p="u"></a>`,
		"tag not closed":           "<a",
		"no space between":         `<a b="1"c="2"/>`,
		"unquoted":                 "<a b=1/>",
		"value not closed":         `<a b="1/>`,
		"no value":                 "<a b/>",
		"no equals sign":           `<a b"1"/>`,
		"no bracket":               "a/>",
		"goes on as text":          `<a b="1"c></a>`,
		"ends before the value":    "<a b=",
		"quoted by a digit":        "<a b=11/>",
		"attribute of a digit":     `<a 1b="1"/>`,
		"end tag not closed":       "<a></a",
		"end tag with attribute":   `<a></a b="1">`,
		"end tag without name":     "<a></>",
		"another forbidden one":    "<a>\ufffe</a>",
		"less than in a value":     `<a b="<"/>`,
		"attribute twice":          `<a b="1" b="2"/>`,
		"prefix unknown":           "<p:a/>",
		"attribute prefix unknown": `<a p:b="1"/>`,
		"prefix twice":             `<a xmlns:p="u" xmlns:p="v"/>`,
		"prefix undone":            `<a xmlns:p=""/>`,
		"prefix reserved":          `<a xmlns:xmlp="u"/>`,
		"xml attribute":            `<a xml:lang="en"/>`,
		"name begins with digit":   "<1a/>",
		"two colons":               `<p:q:a xmlns:p="u"/>`,
		"empty prefix":             "<:a/>",
		"control character":        "<a>\x01</a>",
		"forbidden character":      "<a>\uffff</a>",
		"end of cdata":             "<a>]]></a>",
		"entity":                   "<a>&foo;</a>",
		"entity not closed":        "<a>&amp</a>",
		"character reference":      "<a>&#65;</a>",
		"comment":                  "<a><!-- --></a>",
		"instruction":              "<a><?b?></a>",
		"declaration inside":       `<a/><?xml version="1.0"?>`,
		"other version":            `<?xml version="1.1"?><a/>`,
		"doctype":                  "<!DOCTYPE a><a/>",
		"two roots":                "<a/><a/>",
		"text after":               "<a/>b",
		"not UTF-8":                "<a>\xff</a>",
		"byte order mark":          "\ufeff<a/>",
		"too deep":                 strings.Repeat("<a>", 17) + strings.Repeat("</a>", 17),
		"too many":                 "<a>" + strings.Repeat("<b/>", 2048) + "</a>",
		"too many attributes":      "<a " + manyAttributes(65) + "/>",
		"too many namespaces":      `<a xmlns:a="u" xmlns:b="u" xmlns:c="u" xmlns:d="u" xmlns:e="u" xmlns:f="u" xmlns:g="u" xmlns:h="u" xmlns:i="u"/>`,
	} {
		if out, err := nvgpu.Canonical([]byte(text)); err == nil || out != nil {
			t.Errorf("%s: %q, accepted as %q", name, text, out)
		}
	}
}

func manyAttributes(n int) string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(`a%d=""`, i))
	}
	return strings.Join(out, " ")
}

// TestCanonical holds to Canonical XML 1.1; package lxml gives the same.
func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		"<?xml version=\"1.0\"?>\n<a  />":                                 "<a></a>",
		"<a\r\n>\r\rb\r\n</a >":                                           "<a>\n\nb\n</a>",
		`<a c='2' b="1"/>`:                                                `<a b="1" c="2"></a>`,
		`<a b='"&lt;&gt;&amp;&apos;>'/>`:                                  `<a b="&quot;&lt;>&amp;'>"></a>`,
		"<a b=\"x\ty\nz\"/>":                                              `<a b="x y z"></a>`,
		"<a>&quot;&apos;&gt;&lt;&amp;</a>":                                `<a>"'&gt;&lt;&amp;</a>`,
		`<a xmlns:q="v" xmlns="u" xmlns:p="w"/>`:                          `<a xmlns="u" xmlns:p="w" xmlns:q="v"></a>`,
		`<a xmlns="u"><b xmlns="u"/><c xmlns=""><d xmlns=""/></c></a>`:    `<a xmlns="u"><b></b><c xmlns=""><d></d></c></a>`,
		`<a xmlns=""/>`:                                                   `<a></a>`,
		`<a xmlns:p="z" xmlns:q="y"><b p:x="1" q:x="2" x="3" b="4"/></a>`: `<a xmlns:p="z" xmlns:q="y"><b b="4" x="3" q:x="2" p:x="1"></b></a>`,
		`<a xmlns:p="u"><b xmlns:p="v"/></a>`:                             `<a xmlns:p="u"><b xmlns:p="v"></b></a>`,
	} {
		if got, err := nvgpu.Canonical([]byte(in)); err != nil || string(got) != want {
			t.Errorf("%q: %q, %v, want %q", in, got, err, want)
		}
	}
}

// TestManifestsRefused changes one thing about a signed manifest's form.
func TestManifestsRefused(t *testing.T) {
	whole := string(forged(t, attest.LabelNVIDIARIM)[0])
	if _, err := nvgpu.ParseManifest([]byte(whole)); err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]string{
		"root":                   {"SoftwareIdentity", "Software"},
		"root namespace":         {`xmlns="http://standards.iso.org/iso/19770/-2/2015/schema.xsd"`, `xmlns="other"`},
		"no tag id":              {`tagId="`, `tagID="`},
		"empty tag id":           {`tagId="5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"`, `tagId=""`},
		"no product":             {`product="`, `products="`},
		"no edition":             {`edition="`, `editions="`},
		"no version":             {`colloquialVersion="`, `version="`},
		"no meta":                {"ns0:Meta", "ns0:Other"},
		"text between":           {"\n    <ns0:Payload>", "x<ns0:Payload>"},
		"text in payload":        {"<ns0:Payload>\n", "<ns0:Payload>x"},
		"type":                   {`type="Measurement"`, `type="File"`},
		"element":                {"ns0:Resource", "ns0:File"},
		"active":                 {`active="True"`, `active="yes"`},
		"index no number":        {`index="10"`, `index="x"`},
		"index in two ways":      {`index="10"`, `index="010"`},
		"index too high":         {`index="10"`, `index="256"`},
		"index negative":         {`index="10"`, `index="-1"`},
		"no alternative":         {`alternatives="1"`, `alternatives="0"`},
		"too many alternatives":  {`alternatives="1"`, `alternatives="17"`},
		"fewer values":           {`alternatives="1"`, `alternatives="2"`},
		"size":                   {`size="48"`, `size="47"`},
		"size zero":              {`size="48"`, `size="0"`},
		"value no hex":           {`ns2:Hash0="0`, `ns2:Hash0="x`},
		"value under other name": {"ns2:Hash0=", "ns2:Hash1="},
		"signature attribute":    {"<ds:SignedInfo>", `<ds:SignedInfo a="b">`},
		"key info twice":         {"<ds:KeyInfo>", "<ds:KeyInfo></ds:KeyInfo><ds:KeyInfo>"},
		"key value":              {"ds:X509Data", "ds:KeyValue"},
		"key data attribute":     {"<ds:X509Data>", `<ds:X509Data a="b">`},
		"key data text":          {"<ds:X509Data>", "<ds:X509Data>x"},
		"issuer serial":          {"<ds:X509Data>", "<ds:X509Data><ds:X509IssuerSerial></ds:X509IssuerSerial>"},
		"other certificates":     {"ds:X509Certificate", "ds:X509Other"},
		"certificate no base64":  {"<ds:X509Certificate>", "<ds:X509Certificate>!"},
		"no certificate in it":   {"<ds:X509Certificate>", "<ds:X509Certificate>AAAA</ds:X509Certificate><ds:X509Certificate>"},
		"certificate attribute":  {"<ds:X509Certificate>", `<ds:X509Certificate a="b">`},
		"value no base64":        {"<ds:SignatureValue>", "<ds:SignatureValue>!"},
		"value longer":           {"<ds:SignatureValue>", "<ds:SignatureValue>AAAA"},
		"digest no base64":       {"<ds:DigestValue>", "<ds:DigestValue>!"},
		"reference attribute":    {`<ds:Reference URI=""`, `<ds:Reference Id="a" URI=""`},
		"reference without URI":  {`<ds:Reference URI=""`, `<ds:Reference`},
		"transform content":      {`#enveloped-signature"></ds:Transform>`, `#enveloped-signature"><ds:XPath></ds:XPath></ds:Transform>`},
		"method attribute":       {`<ds:DigestMethod `, `<ds:DigestMethod a="b" `},
		"digest with element":    {"<ds:DigestValue>", "<ds:DigestValue><ds:X></ds:X>"},
		"digest attribute":       {"<ds:DigestValue>", `<ds:DigestValue a="b">`},
		"reference by another":   {`<ds:Reference URI=""`, `<ds:Reference Id=""`},
		"reference with more":    {"<ds:DigestValue>", "<ds:Extra></ds:Extra><ds:DigestValue>"},
		"one transform":          {`<ds:Transform Algorithm="http://www.w3.org/2006/12/xml-c14n11"></ds:Transform>`, ""},
		"transforms swapped":     {`<ds:Transforms>`, `<ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2006/12/xml-c14n11"></ds:Transform>`},
	} {
		text := strings.ReplaceAll(whole, pair[0], pair[1])
		if text == whole {
			t.Errorf("%s: nothing was changed", name)
		}
		if m, err := nvgpu.ParseManifest([]byte(text)); err == nil || m != nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := nvgpu.ParseManifest(make([]byte, attest.MaxEndorsement+1)); err == nil {
		t.Error("too large: accepted")
	}
}

// TestManifestReasons holds why a manifest is refused, where more than one rule
// would.
func TestManifestReasons(t *testing.T) {
	whole := string(forged(t, attest.LabelNVIDIARIM)[0])
	for _, c := range []struct{ old, text, words string }{
		{`index="10"`, `index="x"`, "index"},
		{`index="10"`, `index=""`, "index"},
		{`index="10"`, `index="010"`, "index"},
		{`index="10"`, `index="256"`, "index"},
		{`alternatives="1"`, `alternatives="0"`, "alternatives"},
		{`alternatives="1"`, `alternatives="17"`, "alternatives"},
		{`alternatives="1"`, `alternatives="2"`, "1 values, expected 2"},
		{"ns2:Hash0=", `ns2:Hash1="00" ns2:Hash0=`, "2 values, expected 1"},
		{`"></ns0:Resource>`, `0"></ns0:Resource>`, "value 0"},
		{`"></ns0:Resource>`, `">x</ns0:Resource>`, "expected a measurement"},
		{`"></ns0:Resource>`, `"><ns0:Resource></ns0:Resource></ns0:Resource>`, "expected a measurement"},
		{`size="48"`, `size="0"`, "size"},
		{`size="48"`, `size="65"`, "size"},
		{"\n    <ns0:Payload>", "x<ns0:Payload>", "text"},
		{"<ns0:Payload>\n", "<ns0:Payload>x", "text"},
		{"ns0:Meta", "ns0:Other", "no element Meta"},
		{"ns0:Payload", "ns0:Other", "no element Payload"},
	} {
		text := strings.ReplaceAll(whole, c.old, c.text)
		if text == whole {
			t.Errorf("%s: nothing was changed", c.text)
		}
		if _, err := nvgpu.ParseManifest([]byte(text)); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: error %v, want %q", c.text, err, c.words)
		}
	}
	long := whole + strings.Repeat(" ", attest.MaxEndorsement)
	if _, err := nvgpu.ParseManifest([]byte(long)); err == nil {
		t.Error("too large, all of it white space: accepted")
	}
}

// TestManifestsRearranged holds what a replaced word does not show.
func TestManifestsRearranged(t *testing.T) {
	whole := string(forged(t, attest.LabelNVIDIARIM)[0])
	between := func(from, to string) (head, part, tail string) {
		i, j := strings.Index(whole, from), strings.LastIndex(whole, to)+len(to)
		if i < 0 || j < i {
			t.Fatalf("no %s", from)
		}
		return whole[:i], whole[i:j], whole[j:]
	}
	before, signature, after := between("<ds:Signature ", "</ds:Signature>")
	digestHead, _, digestTail := between("<ds:DigestValue>", "</ds:DigestValue>")
	head, certs, tail := between("<ds:X509Certificate>", "</ds:X509Certificate>")
	one := certs[:strings.Index(certs, "</ds:X509Certificate>")+len("</ds:X509Certificate>")]
	for name, c := range map[string]struct{ text, words string }{
		"signature deeper":        {before + "<ns0:Other>" + signature + "</ns0:Other>" + after, "not a child"},
		"no certificate":          {head + tail, "0 certificates"},
		"element for a digest":    {digestHead + "<ds:DigestValue><ds:X></ds:X></ds:DigestValue>" + digestTail, "more than text"},
		"seven certificates":      {head + strings.Repeat(one, 7) + tail, "7 certificates"},
		"text in the signature":   {strings.Replace(whole, "<ds:SignedInfo>", "x<ds:SignedInfo>", 1), "text \"x\""},
		"text before the key":     {strings.Replace(whole, "<ds:X509Data>", "<ds:X509Data>x", 1), "text \"x\""},
		"text in the signed part": {strings.Replace(whole, "<ds:SignedInfo>", "<ds:SignedInfo>x", 1), "text \"x\""},
	} {
		if m, err := nvgpu.ParseManifest([]byte(c.text)); m != nil || err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: error %v, want %q", name, err, c.words)
		}
	}
	if _, err := nvgpu.ParseManifest([]byte(head + strings.Repeat(one, 6) + tail)); err != nil {
		t.Errorf("six certificates: %v", err)
	}
}

// TestManifestSignedByAnother: the right digest under a signature that is not the
// certified key's.
func TestManifestSignedByAnother(t *testing.T) {
	ev, end := attesttest.NewNVIDIA().MakeGPU(t, [32]byte{1}, attesttest.DriverRIM(func(m *nvforge.Manifest) {
		m.Signed = func(s string) string {
			i := strings.Index(s, "<ds:SignatureValue>") + len("<ds:SignatureValue>")
			return s[:i] + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 96)) + s[strings.Index(s, "</ds:SignatureValue>"):]
		}
	}))
	_, err := forgedVerifier(t, attest.NVIDIAGPU).Verify(ev, end, attesttest.Epoch())
	casetest.Refused(t, err, "hardware.driver_rim", attest.CodeBadSignature)
}

func TestOpaqueRefused(t *testing.T) {
	field := func(id byte, v ...byte) []byte { return append([]byte{id, 0, byte(len(v)), byte(len(v) >> 8)}, v...) }
	var many []byte
	for i := range 65 {
		many = append(many, field(byte(100+i))...)
	}
	for name, data := range map[string][]byte{
		"half a header":     {3, 0, 1},
		"cut value":         {3, 0, 2, 0, '1'},
		"over the limit":    append([]byte{200, 0, 1, 0x10}, make([]byte, 0x1001)...),
		"too many fields":   many,
		"empty text":        field(3),
		"text of zeros":     field(3, 0, 0),
		"zero inside text":  field(3, '1', 0, '1'),
		"slash in text":     field(17, '/'),
		"space in text":     field(18, ' '),
		"letter beyond":     field(15, 0xc3, 0xa9),
		"chip":              field(35, '\n'),
		"no counter":        field(12),
		"pdi of 7 bytes":    field(22, make([]byte, 7)...),
		"flag of two bytes": field(11, 0x55, 0x55),
		"flag zero":         field(21, 0),
	} {
		if o, err := nvgpu.ParseOpaque(data); err == nil || o != nil {
			t.Errorf("%s: accepted", name)
		}
	}
	o, err := nvgpu.ParseOpaque(bytes.Join([][]byte{field(6, 0, 0xa5, 0, 0x96, 1, 0, 0, 0), field(35, 'G', 'B', '1', '0', '0', 0), field(21, 0xaa), field(12, 1, 2, 0, 0)}, nil))
	if err != nil || o.VBIOS != "96.00.A5.00.01" || o.Chip != "GB100" || o.ProtectedPCIe != 0xaa || len(o.Counters) != 1 || o.Counters[0] != 0x201 {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestReportForm holds each rule for the measurements that no count alone breaks.
func TestReportForm(t *testing.T) {
	for name, edit := range map[string]func(*nvforge.Report){
		"slot 8":              func(r *nvforge.Report) { r.SlotParam, r.ResponseSlot = 8, 8 },
		"response parameter":  func(r *nvforge.Report) { r.ResponseParam1 = 1 },
		"nothing measured":    func(r *nvforge.Report) { r.Blocks = nil; noCounters(r) },
		"65 measurements":     func(r *nvforge.Report) { last := r.Blocks[63]; last.Index = 65; r.Blocks = append(r.Blocks, last) },
		"one block more":      func(r *nvforge.Report) { r.Blocks, r.BlockCount = r.Blocks[:10], 11; noCounters(r) },
		"one block less":      func(r *nvforge.Report) { r.BlockCount = 63; noCounters(r) },
		"empty measurement":   func(r *nvforge.Report) { r.Blocks[3].Value = nil },
		"65 bytes measured":   func(r *nvforge.Report) { r.Blocks[3].Value = make([]byte, 65) },
		"last one is cut off": func(r *nvforge.Report) { last := &r.Blocks[len(r.Blocks)-1]; last.Size, last.ValueSize = 52, 49 },
	} {
		ev, end := attesttest.NewNVIDIA().MakeGPU(t, [32]byte{1}, attesttest.EditGPUReport(edit), attesttest.NoRIMs(), attesttest.NoOCSP())
		_, err := forgedVerifier(t, attest.NVIDIAGPU).Verify(ev, end, attesttest.Epoch())
		t.Run(name, func(t *testing.T) { casetest.Refused(t, err, "hardware.report", attest.CodeMalformed) })
	}
}

// noCounters leaves out the counters, which are one for each measurement.
func noCounters(r *nvforge.Report) {
	r.Fields = slices.DeleteFunc(slices.Clone(r.Fields), func(f nvforge.Field) bool { return f.Type == 12 })
}

// TestUnreadableEvidence: the reason is that of the container, not of the report
// that was not in it.
func TestUnreadableEvidence(t *testing.T) {
	_, err := forgedVerifier(t, attest.NVIDIAGPU).Verify(attest.Evidence{Kind: attest.NVIDIAGPU, Data: []byte{1, 2}}, nil, attesttest.Epoch())
	casetest.Refused(t, err, "hardware.report", attest.CodeMalformed)
	var f *attest.Failure
	if !errors.As(err, &f) || !strings.HasPrefix(f.Failed()[0].Seen, "form:") {
		t.Errorf("error %v", err)
	}
}

func TestReportTooLarge(t *testing.T) {
	_, err := nvgpu.ParseReport(make([]byte, 64<<10+1))
	casetest.Refused(t, err, "hardware.report", attest.CodeTooLarge)
	_, err = forgedVerifier(t, attest.NVIDIAGPU).Verify(attest.Evidence{Kind: attest.NVIDIAGPU, Data: make([]byte, attest.MaxEvidence+1)}, nil, attesttest.Epoch())
	casetest.Refused(t, err, "hardware.report", attest.CodeTooLarge)
}

// TestRIMNames: the names under which NVIDIA publishes manifests.
func TestRIMNames(t *testing.T) {
	parse := func(i int) *nvgpu.Report {
		r, err := nvgpu.ParseReport(reports(t)[i])
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, c := range []struct {
		report *nvgpu.Report
		arch   nvgpu.Arch
		want   string
	}{
		{parse(0), nvgpu.Hopper, "NV_GPU_DRIVER_GH100_590.12 NV_GPU_VBIOS_G520_0200_885_9600A50001"},
		{parse(6), nvgpu.Blackwell, "NV_GPU_CC_DRIVER_GB100_590.48.01 NV_GPU_VBIOS_G525_0220_886_9700E40011"},
		{parse(7), nvgpu.LS10, switchRIM},
		{&nvgpu.Report{}, nvgpu.Hopper, ""},
		{&nvgpu.Report{Opaque: nvgpu.Opaque{Driver: "1", VBIOS: "2"}}, nvgpu.Blackwell, "NV_GPU_CC_DRIVER_GB100_1"},
		{&nvgpu.Report{Opaque: nvgpu.Opaque{Driver: "1"}}, 0, ""},
	} {
		if got := strings.Join(c.report.RIMs(c.arch), " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.arch, got, c.want)
		}
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"HOPPER", "BLACKWELL", "LS10"} {
		a, err := nvgpu.ParseArch(name)
		text, _ := a.MarshalText()
		if err != nil || string(text) != name {
			t.Errorf("%s: %s, %v", name, text, err)
		}
	}
	for _, name := range []string{"hopper", "unknown", ""} {
		if a, err := nvgpu.ParseArch(name); err == nil || a != 0 {
			t.Errorf("%q: accepted", name)
		}
	}
	for o, want := range map[nvgpu.Outcome]string{0: "differs", nvgpu.Matches: "matches", nvgpu.NotListed: "not listed", nvgpu.NotUsed: "not used", 9: "differs"} {
		if text, _ := o.MarshalText(); string(text) != want {
			t.Errorf("outcome %d: %s", o, text)
		}
	}
	for s, want := range map[nvgpu.RevocationStatus]string{0: "not checked", nvgpu.Good: "good", nvgpu.Held: "hold", 9: "not checked"} {
		if text, _ := s.MarshalText(); string(text) != want {
			t.Errorf("status %d: %s", s, text)
		}
	}
	var none *nvgpu.Claims
	if none.Golden() || none.Compared() || none.Revoked() != nvgpu.NotChecked || none.Identity() != "" || new(nvgpu.Claims).Golden() || new(nvgpu.Claims).Revoked() != nvgpu.NotChecked {
		t.Error("claims that say nothing say something good")
	}
}

func TestRootsRefused(t *testing.T) {
	device, rim := attesttest.NewNVIDIA().Roots(t)
	issue := func(c nvforge.Cert, issuer *nvforge.CA) []byte {
		c.NotBefore, c.NotAfter = attesttest.Epoch(), attesttest.Epoch().AddDate(1, 0, 0)
		out, err := nvforge.Issue(c, issuer)
		if err != nil {
			t.Fatal(err)
		}
		return out.Cert.Raw
	}
	other, err := nvforge.Issue(nvforge.Cert{Name: "other", CA: true, NotBefore: attesttest.Epoch(), NotAfter: attesttest.Epoch().AddDate(1, 0, 0)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, roots := range map[string]nvgpu.Roots{
		"none":          {},
		"no device":     {RIM: rim},
		"no RIM":        {Device: device},
		"trailing byte": {Device: append(bytes.Clone(device), 0), RIM: rim},
		"no usage":      {Device: issue(nvforge.Cert{Name: "a", CA: true, Edit: func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }}, nil), RIM: rim},
		"usage alone":   {Device: issue(nvforge.Cert{Name: "a", Edit: func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign }}, nil), RIM: rim},
		"no CA":         {Device: issue(nvforge.Cert{Name: "a"}, nil), RIM: rim},
		"not by itself": {Device: issue(nvforge.Cert{Name: "a", CA: true}, other), RIM: rim},
		"P-256":         {Device: device, RIM: issue(nvforge.Cert{Name: "a", CA: true, Curve: elliptic.P256()}, nil)},
	} {
		if v, err := nvgpu.NewVerifierWithRoots(attest.NVIDIAGPU, roots); err == nil || v != nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, kind := range []attest.Kind{attest.KindInvalid, attest.TDX, attest.Composite} {
		if v, err := nvgpu.NewVerifier(kind); err == nil || v != nil {
			t.Errorf("kind %s: accepted", kind)
		}
	}
}

// TestLeafExtensions holds that what a leaf says of its device is read strictly.
func TestLeafExtensions(t *testing.T) {
	san := func(v []byte) attesttest.GPUOption {
		return attesttest.EditGPUCert("leaf", func(c *nvforge.Cert) { c.Extra[0].Value = v })
	}
	name := func(s string) attesttest.GPUOption { return san(nvforge.UEID(s).Value) }
	fwid := func(v []byte) attesttest.GPUOption {
		return attesttest.EditGPUCert("leaf", func(c *nvforge.Cert) { c.Extra[1].Value = v })
	}
	tcb := func(edit func([]byte) []byte) attesttest.GPUOption {
		return attesttest.EditGPUCert("leaf", func(c *nvforge.Cert) {
			c.Extra[1] = nvforge.TCBInfo(make([]byte, 48))
			c.Extra[1].Value = edit(c.Extra[1].Value)
		})
	}
	for label, opt := range map[string]attesttest.GPUOption{
		"other vendor":         name("AMD:GH100:48B02D0000000001"),
		"two parts":            name("NVIDIA:GH100"),
		"empty serial":         name("NVIDIA:GH100:"),
		"line break in serial": name("NVIDIA:GH100:a\nb"),
		"name too long":        name("NVIDIA:GH100:" + strings.Repeat("a", 64)),
		"no names":             san([]byte{0x30, 0}),
		"DNS name":             san([]byte{0x30, 3, 0x82, 1, 'a'}),
		"names with a tail":    san(append(nvforge.UEID("NVIDIA:GH100:01").Value, 0)),
		"other type of name":   san(bytes.Replace(nvforge.UEID("NVIDIA:GH100:01").Value, []byte{0x12, 1, 0xa0}, []byte{0x12, 2, 0xa0}, 1)),
		"not a composite":      fwid(nvforge.TCBInfo(make([]byte, 48)).Value),
		"short firmware id":    attesttest.EditGPUCert("leaf", func(c *nvforge.Cert) { c.Extra[1] = nvforge.TCBInfo(make([]byte, 47)) }),
		"tcb: no list":         tcb(func(b []byte) []byte { return []byte{0x30, 2, 0xa6, 0} }),
		"tcb: tags fall":       tcb(func(b []byte) []byte { return []byte{0x30, 4, 0x81, 0, 0x80, 0} }),
		"tcb: universal tag":   tcb(func(b []byte) []byte { return []byte{0x30, 2, 0x05, 0} }),
		"tcb: other hash":      tcb(func(b []byte) []byte { return bytes.Replace(b, []byte{4, 2, 2, 4}, []byte{4, 2, 1, 4}, 1) }),
		"tcb: trailing":        tcb(func(b []byte) []byte { return append(b, 0) }),
		"tcb: malformed list":  tcb(func(b []byte) []byte { return []byte{0x30, 4, 0xa6, 2, 0x30, 0} }),
	} {
		ev, end := attesttest.NewNVIDIA().MakeGPU(t, [32]byte{1}, opt, attesttest.NoRIMs(), attesttest.NoOCSP())
		_, err := forgedVerifier(t, attest.NVIDIAGPU).Verify(ev, end, attesttest.Epoch())
		t.Run(label, func(t *testing.T) {
			var f *attest.Failure
			if !errors.As(err, &f) {
				t.Fatalf("accepted: %v", err)
			}
			casetest.Refused(t, err, "hardware.device", attest.CodeMalformed)
		})
	}
	// Without a name the chip is in the subject's.
	ev, end := attesttest.NewNVIDIA().MakeGPU(t, [32]byte{1}, attesttest.EditGPUCert("leaf", func(c *nvforge.Cert) { c.Extra = c.Extra[1:] }))
	claims, err := forgedVerifier(t, attest.NVIDIAGPU).Verify(ev, end, attesttest.Epoch())
	if err != nil {
		t.Fatal(err)
	}
	if d := claims.Detail.(*nvgpu.Claims); d.DeviceID != "" || d.Chip != "GH100" || d.Identity() == "" {
		t.Errorf("device %q, chip %q", d.DeviceID, d.Chip)
	}
}

// TestOCSPRefused changes bytes of the answer about one certificate.
func TestOCSPRefused(t *testing.T) {
	edit := func(f func(*nvforge.Answer)) error {
		ev, end := attesttest.NewNVIDIA().MakeGPU(t, [32]byte{1}, attesttest.EditOCSP("ica", f), attesttest.NoRIMs())
		_, err := forgedVerifier(t, attest.NVIDIAGPU).Verify(ev, end, attesttest.Epoch())
		return err
	}
	replace := func(old, new string) func(*nvforge.Answer) {
		return func(a *nvforge.Answer) {
			a.Edit = func(tbs []byte) []byte {
				from, _ := hex.DecodeString(old)
				to, _ := hex.DecodeString(new)
				out := bytes.Replace(tbs, from, to, 1)
				if bytes.Equal(out, tbs) {
					t.Errorf("%s is not in the response", old)
				}
				return out
			}
		}
	}
	held := func(at time.Time) func(*nvforge.Answer) {
		return func(a *nvforge.Answer) { a.Status, a.Reason, a.RevokedAt = 1, 6, at }
	}
	// first changes the tag of the responder's id.
	first := func(tag byte) func(*nvforge.Answer) {
		return func(a *nvforge.Answer) {
			a.Edit = func(tbs []byte) []byte {
				return retagged(t, tbs, func(b []byte) []byte { return append([]byte{tag}, b[1:]...) })
			}
		}
	}
	for name, c := range map[string]struct {
		edit func(*nvforge.Answer)
		code attest.Code
	}{
		"other hash of the issuer": {replace("06052b0e03021a", "06052b0e03021b"), nvgpu.CodeBadOCSP},
		"status with content":      {replace("8000180f", "8300180f"), attest.CodeMalformed},
		"responder id":             {replace("30", "31"), attest.CodeMalformed},
		"version 2": {func(a *nvforge.Answer) {
			a.Edit = func(tbs []byte) []byte {
				return retagged(t, tbs, func(b []byte) []byte { return append([]byte{0xa0, 3, 2, 1, 1}, b...) })
			}
		}, attest.CodeMalformed},
		"good, in another form":          {replace("8000180f", "a000180f"), attest.CodeMalformed},
		"good, of another class":         {replace("8000180f", "4000180f"), attest.CodeMalformed},
		"unknown":                        {replace("8000180f", "8200180f"), nvgpu.CodeOCSPUnknown},
		"unknown, in another form":       {replace("8000180f", "a200180f"), attest.CodeMalformed},
		"unknown, of another class":      {replace("8000180f", "4200180f"), attest.CodeMalformed},
		"revoked, of another class":      {func(a *nvforge.Answer) { a.Status = 1; replace("a116180f", "6116180f")(a) }, attest.CodeMalformed},
		"revoked, and something unknown": {func(a *nvforge.Answer) { a.Status, a.Reason = 1, 6; replace("a003", "a103")(a) }, attest.CodeRevoked},
		"never issued":                   {held(time.Unix(0, 0)), nvgpu.CodeOCSPUnknown},
		"never issued, late that day":    {held(time.Unix(24*60*60-1, 0)), nvgpu.CodeOCSPUnknown},
		"revoked in 1970":                {func(a *nvforge.Answer) { a.Status, a.RevokedAt = 1, time.Unix(0, 0) }, attest.CodeRevoked},
		"removed from the CRL":           {func(a *nvforge.Answer) { a.Status, a.Reason = 1, 8 }, attest.CodeRevoked},
		"responder's name, other class":  {first(0x61), nvgpu.CodeBadOCSP},
		"responder's key, other class":   {func(a *nvforge.Answer) { a.ByKey = true; first(0x62)(a) }, nvgpu.CodeBadOCSP},
		"responder's id of a third kind": {first(0xa3), nvgpu.CodeBadOCSP},
		"responder's key is no string":   {func(a *nvforge.Answer) { a.ByKey = true; replace("a2160414", "a2160514")(a) }, nvgpu.CodeBadOCSP},
		"critical extension of an answer": {func(a *nvforge.Answer) {
			a.Edit = func(tbs []byte) []byte { return withSingle(t, tbs, extension(true)) }
		}, attest.CodeMalformed},
		"revoked without a date": {func(a *nvforge.Answer) {
			a.Edit = func(tbs []byte) []byte {
				return bytes.Replace(tbs, []byte{0x80, 0, 0x18, 0x0f}, []byte{0xa1, 0, 0x18, 0x0f}, 1)
			}
		}, attest.CodeMalformed},
		"responder that is no certificate": {func(a *nvforge.Answer) {
			a.Delegates = []*nvforge.CA{{Cert: &x509.Certificate{Raw: []byte{0x30, 0}}}}
		}, nvgpu.CodeBadOCSP},
		"too many certificates": {func(a *nvforge.Answer) {
			a.Delegates = []*nvforge.CA{a.Signer, a.Signer, a.Signer, a.Signer, a.Signer}
		}, attest.CodeMalformed},
		"responder without usage": {func(a *nvforge.Answer) {
			template := nvforge.Cert{Name: a.Signer.Cert.Subject.CommonName, NotBefore: attesttest.Epoch(), NotAfter: attesttest.Epoch().Add(time.Hour), Responder: true,
				Serial: big.NewInt(1), Edit: func(x *x509.Certificate) { x.KeyUsage = x509.KeyUsageKeyAgreement }}
			own, err := nvforge.Issue(template, nil)
			if err != nil {
				t.Fatal(err)
			}
			a.Signer, a.Delegates = own, []*nvforge.CA{own}
		}, nvgpu.CodeBadOCSP},
	} {
		t.Run(name, func(t *testing.T) { casetest.Refused(t, edit(c.edit), "hardware.ocsp", c.code) })
	}
	if err := edit(func(a *nvforge.Answer) { a.NextUpdate = a.ThisUpdate.Add(-time.Second) }); err == nil {
		t.Error("a response that ends before it begins: accepted")
	}
	for name, f := range map[string]func(*nvforge.Answer){
		"a hold of the second of January": held(time.Unix(24*60*60, 0)),
		"a nonce": func(a *nvforge.Answer) {
			a.Edit = func(tbs []byte) []byte {
				return retagged(t, tbs, func(b []byte) []byte { return append(b, extension(false)...) })
			}
		},
		"an extension of the answer": func(a *nvforge.Answer) {
			a.Edit = func(tbs []byte) []byte { return withSingle(t, tbs, extension(false)) }
		},
	} {
		if err := edit(f); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// extension is a list of one: the nonce (RFC 6960, 4.4.1).
func extension(critical bool) []byte {
	oid, value := []byte{6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 2}, []byte{4, 3, 4, 1, 7}
	body := slices.Concat(oid, value)
	if critical {
		body = slices.Concat(oid, []byte{1, 1, 0xff}, value)
	}
	for _, tag := range []byte{0x30, 0x30, 0xa1} {
		body = append([]byte{tag, byte(len(body))}, body...)
	}
	return body
}

// withSingle puts bytes at the end of the one answer.
func withSingle(t *testing.T, tbs, more []byte) []byte {
	var data struct {
		Responder, ProducedAt asn1.RawValue
		Responses             []asn1.RawValue
	}
	if _, err := asn1.Unmarshal(tbs, &data); err != nil || len(data.Responses) != 1 {
		t.Fatalf("%d answers, %v", len(data.Responses), err)
	}
	data.Responses[0].FullBytes = retagged(t, data.Responses[0].FullBytes, func(b []byte) []byte { return append(bytes.Clone(b), more...) })
	out, err := asn1.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// retagged returns a SEQUENCE with other content.
func retagged(t *testing.T, der []byte, f func([]byte) []byte) []byte {
	t.Helper()
	var v asn1.RawValue
	if _, err := asn1.Unmarshal(der, &v); err != nil {
		t.Fatal(err)
	}
	out, err := asn1.Marshal(asn1.RawValue{Tag: v.Tag, IsCompound: true, Bytes: f(v.Bytes)})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestOCSPAlgorithm: the name of the algorithm, which the signature does not cover,
// is compared as well.
func TestOCSPAlgorithm(t *testing.T) {
	ev, end := attesttest.NewNVIDIA().MakeGPU(t, [32]byte{1})
	for i, e := range end {
		if strings.HasPrefix(e.Label, attest.LabelNVIDIAOCSP) {
			end[i].Data = bytes.Replace(e.Data, []byte{0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3}, []byte{0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2}, 1)
		}
	}
	_, err := forgedVerifier(t, attest.NVIDIAGPU).Verify(ev, end, attesttest.Epoch())
	casetest.Refused(t, err, "hardware.ocsp", nvgpu.CodeBadOCSP)
}

// ocspParts is an OCSP response (RFC 6960, 4.2.1), apart.
type ocspParts struct {
	Status asn1.Enumerated
	Bytes  struct {
		Type     asn1.ObjectIdentifier
		Response []byte
	} `asn1:"explicit,tag:0"`
}

// TestOCSPFormRefused holds what no signature covers, and why it is refused.
func TestOCSPFormRefused(t *testing.T) {
	whole := forged(t, attest.LabelNVIDIAOCSP)[0]
	if err := nvgpu.ParseOCSP(whole); err != nil {
		t.Fatal(err)
	}
	edit := func(f func(*ocspParts)) []byte {
		var p ocspParts
		if _, err := asn1.Unmarshal(whole, &p); err != nil {
			t.Fatal(err)
		}
		f(&p)
		out, err := asn1.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	// basic changes the elements of the basic response.
	basic := func(f func([]asn1.RawValue) []asn1.RawValue) []byte {
		return edit(func(p *ocspParts) {
			var list []asn1.RawValue
			if _, err := asn1.Unmarshal(p.Bytes.Response, &list); err != nil {
				t.Fatal(err)
			}
			var err error
			if p.Bytes.Response, err = asn1.Marshal(f(list)); err != nil {
				t.Fatal(err)
			}
		})
	}
	null := asn1.RawValue{FullBytes: []byte{5, 0}}
	for name, c := range map[string]struct {
		der   []byte
		words string
	}{
		"empty":           {nil, "nvgpu: OCSP response: "},
		"trailing":        {append(bytes.Clone(whole), 0), "1 bytes after the end"},
		"error":           {[]byte{0x30, 3, 0x0a, 1, 1}, "status 1"},
		"no content":      {[]byte{0x30, 0}, "nvgpu: OCSP response: "},
		"too large":       {make([]byte, 16<<10+1), "limit"},
		"other type":      {bytes.Replace(whole, []byte{0x30, 1, 1}, []byte{0x30, 1, 2}, 1), "expected a successful basic one"},
		"with both":       {edit(func(p *ocspParts) { p.Status = 3 }), "status 3"},
		"trailing within": {edit(func(p *ocspParts) { p.Bytes.Response = append(p.Bytes.Response, 0) }), "basic response: 1 bytes after the end"},
		"parameters": {basic(func(l []asn1.RawValue) []asn1.RawValue {
			l[1].FullBytes = retagged(t, l[1].FullBytes, func(b []byte) []byte { return append(bytes.Clone(b), null.FullBytes...) })
			return l
		}), "with parameters"},
		"one element more": {basic(func(l []asn1.RawValue) []asn1.RawValue { return append(l, null) }), "not known"},
		"other content": {basic(func(l []asn1.RawValue) []asn1.RawValue {
			l[0] = asn1.RawValue{FullBytes: []byte{0x30, 2, 5, 0}}
			return l
		}), "response data"},
	} {
		if err := nvgpu.ParseOCSP(c.der); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: error %v, want %q", name, err, c.words)
		}
	}
}

// TestMeasurementsMatter: what differs, what is left out, and what nobody lists.
func TestMeasurementsMatter(t *testing.T) {
	other := bytes.Repeat([]byte{7}, 48)
	for _, c := range []struct {
		name   string
		opts   []attesttest.GPUOption
		index  int
		want   nvgpu.Outcome
		golden bool
	}{
		{"healthy", nil, 12, nvgpu.Matches, true},
		{"driver differs", []attesttest.GPUOption{attesttest.GPUMeasures(12, other)}, 12, nvgpu.Differs, false},
		{"vbios differs", []attesttest.GPUOption{attesttest.GPUMeasures(3, other)}, 3, nvgpu.Differs, false},
		{"not listed", []attesttest.GPUOption{attesttest.GPUMeasures(25, other)}, 25, nvgpu.NotListed, true},
		{"NVDEC0 on", []attesttest.GPUOption{attesttest.GPUMeasures(35, other)}, 35, nvgpu.Differs, false},
		{"NVDEC0 off", []attesttest.GPUOption{attesttest.GPUMeasures(35, other), attesttest.SetGPUField(11, []byte{0x55})}, 35, nvgpu.NotUsed, true},
		{"NVDEC0 not said", []attesttest.GPUOption{attesttest.GPUMeasures(35, other), attesttest.SetGPUField(11, nil)}, 35, nvgpu.Differs, false},
		{"NVDEC0 off, another differs", []attesttest.GPUOption{attesttest.GPUMeasures(36, other), attesttest.SetGPUField(11, []byte{0x55})}, 36, nvgpu.Differs, false},
		{"other size", []attesttest.GPUOption{attesttest.GPUMeasures(12, other[:32])}, 12, nvgpu.Differs, false},
	} {
		ev, end := attesttest.NewNVIDIA().MakeGPU(t, [32]byte{1}, c.opts...)
		claims, err := forgedVerifier(t, attest.NVIDIAGPU).Verify(ev, end, attesttest.Epoch())
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		d := claims.Detail.(*nvgpu.Claims)
		if d.Measurements[c.index].Outcome != c.want || d.Measurements[c.index].Index != c.index || d.Golden() != c.golden || d.Revoked() != nvgpu.Good {
			t.Errorf("%s: %s, golden %t", c.name, d.Measurements[c.index].Outcome, d.Golden())
		}
	}
}
