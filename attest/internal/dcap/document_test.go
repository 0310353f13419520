package dcap

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/attest"
)

// bodies are two documents as the service gives them out.
func bodies(t testing.TB) (info, identity []byte) {
	t.Helper()
	end := newForged(t, TDX).collateral(t)
	return end[0].Data, end[1].Data
}

// edits returns the document with each member of each of its objects dropped,
// doubled, renamed and set to null, in turn.
func edits(t *testing.T, body []byte, member string) map[string][]byte {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	write := func(name string) {
		b, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = b
	}
	walk(doc[member], member, func(path string, object map[string]any, name string) {
		old := object[name]
		delete(object, name)
		write("without " + path)
		object[strings.ToUpper(name)] = old
		write("upper case " + path)
		delete(object, strings.ToUpper(name))
		object[name] = nil
		write("null " + path)
		object[name] = map[string]any{}
		write("object " + path)
		object[name] = old
	})
	return out
}

func walk(v any, path string, visit func(path string, object map[string]any, name string)) {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			visit(path+"."+name, v, name)
			walk(v[name], path+"."+name, visit)
		}
	case []any:
		if len(v) > 0 {
			walk(v[0], path+"[0]", visit)
		}
	}
}

// optional members may be left out.
func optional(name string) bool {
	for _, m := range []string{".advisoryIDs", ".tdxModuleIdentities", ".category", ".type"} {
		if strings.HasSuffix(name, m) {
			return strings.HasPrefix(name, "without ")
		}
	}
	return false
}

// TestDocumentMembers: a member that is missing, null, of another kind or of
// another name is refused, wherever it stands.
func TestDocumentMembers(t *testing.T) {
	info, identity := bodies(t)
	n := 0
	for name, body := range edits(t, info, "tcbInfo") {
		n++
		if got, err := ParseTCBInfo(body); (err == nil) != optional(name) || (got != nil) != (err == nil) {
			t.Errorf("TCB info %s: %v", name, err)
		}
	}
	for name, body := range edits(t, identity, "enclaveIdentity") {
		n++
		if got, err := ParseQEIdentity(body); (err == nil) != optional(name) || (got != nil) != (err == nil) {
			t.Errorf("QE identity %s: %v", name, err)
		}
	}
	if n < 120 {
		t.Errorf("only %d documents were tried", n)
	}
}

func levels(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`{"tcb":{"isvsvn":%d},"tcbDate":"2024-03-13T00:00:00Z","tcbStatus":"UpToDate"}`, 1000-i))
	}
	return `"tcbLevels":[` + strings.Join(list, ",") + `]`
}

func TestTCBInfoRefuses(t *testing.T) {
	info, _ := bodies(t)
	for name, c := range map[string]struct {
		old, text string
		code      attest.Code
	}{
		"version 2":                    {`"version":3`, `"version":2`, CodeUnsupported},
		"tcbType 1":                    {`"tcbType":0`, `"tcbType":1`, CodeUnsupported},
		"another id":                   {`"id":"TDX"`, `"id":"QE"`, attest.CodeMalformed},
		"member twice":                 {`"tcbType":0`, `"tcbType":0,"tcbType":0`, attest.CodeMalformed},
		"unknown member":               {`"tcbType":0`, `"tcbType":0,"tcbKind":0`, attest.CodeMalformed},
		"fraction":                     {`"tcbType":0`, `"tcbType":0.0`, attest.CodeMalformed},
		"evaluation of 2^32":           {`"tcbEvaluationDataNumber":17`, `"tcbEvaluationDataNumber":4294967296`, attest.CodeMalformed},
		"FMSPC of 5 bytes":             {`"fmspc":"C0806F000000"`, `"fmspc":"C0806F0000"`, attest.CodeMalformed},
		"FMSPC not hex":                {`"fmspc":"C0806F000000"`, `"fmspc":"C0806F00000G"`, attest.CodeMalformed},
		"PCE id of 3 bytes":            {`"pceId":"0000"`, `"pceId":"000000"`, attest.CodeMalformed},
		"date with fraction":           {`"issueDate":"2026-06-08T12:00:00Z"`, `"issueDate":"2026-06-08T12:00:00.5Z"`, attest.CodeMalformed},
		"date with zone":               {`"issueDate":"2026-06-08T12:00:00Z"`, `"issueDate":"2026-06-08T12:00:00+00:00"`, attest.CodeMalformed},
		"no such day":                  {`"issueDate":"2026-06-08T12:00:00Z"`, `"issueDate":"2026-02-30T12:00:00Z"`, attest.CodeMalformed},
		"next update before issue":     {`"issueDate":"2026-06-08T12:00:00Z"`, `"issueDate":"2027-06-08T12:00:00Z"`, attest.CodeMalformed},
		"component of 256":             {`"svn":7`, `"svn":256`, attest.CodeMalformed},
		"component of -1":              {`"svn":7`, `"svn":-1`, attest.CodeMalformed},
		"15 components":                {`{"svn":7},`, ``, attest.CodeMalformed},
		"17 components":                {`{"svn":7},`, `{"svn":7},{"svn":0},`, attest.CodeMalformed},
		"PCE SVN of 65536":             {`"pcesvn":11`, `"pcesvn":65536`, attest.CodeMalformed},
		"unknown status":               {`"tcbStatus":"OutOfDate"`, `"tcbStatus":"Fine"`, attest.CodeMalformed},
		"status of a computed kind":    {`"tcbStatus":"OutOfDate"`, `"tcbStatus":"TDRelaunchAdvised"`, attest.CodeMalformed},
		"status Unknown":               {`"tcbStatus":"OutOfDate"`, `"tcbStatus":"Unknown"`, attest.CodeMalformed},
		"module status for platforms":  {`"tcb":{"isvsvn":2},"tcbDate":"2024-03-13T00:00:00Z","tcbStatus":"UpToDate"`, `"tcb":{"isvsvn":2},"tcbDate":"2024-03-13T00:00:00Z","tcbStatus":"SWHardeningNeeded"`, attest.CodeMalformed},
		"module without levels":        {`"tcbLevels":[{"tcb":{"isvsvn":2},"tcbDate":"2024-03-13T00:00:00Z","tcbStatus":"UpToDate"}]`, `"tcbLevels":[]`, attest.CodeMalformed},
		"module twice":                 {`"id":"TDX_03"`, `"id":"tdx_01"`, attest.CodeMalformed},
		"module level twice":           {`"tcb":{"isvsvn":4}`, `"tcb":{"isvsvn":2}`, attest.CodeMalformed},
		"module without a name":        {`"id":"TDX_03"`, `"id":""`, attest.CodeMalformed},
		"module with a long name":      {`"id":"TDX_03"`, `"id":"` + strings.Repeat("T", 65) + `"`, attest.CodeMalformed},
		"too many module levels":       {`"tcbLevels":[{"tcb":{"isvsvn":2},"tcbDate":"2024-03-13T00:00:00Z","tcbStatus":"UpToDate"}]`, levels(maxLevels + 1), attest.CodeMalformed},
		"too many advisories":          {`"advisoryIDs":["INTEL-SA-01036"`, `"advisoryIDs":["INTEL-SA-01036"` + strings.Repeat(`,"A"`, maxAdvisories), attest.CodeMalformed},
		"advisory without a name":      {`"INTEL-SA-01036"`, `""`, attest.CodeMalformed},
		"advisories as text":           {`["INTEL-SA-01036"]`, `"INTEL-SA-01036"`, attest.CodeMalformed},
		"module signer of 47 bytes":    {`"tdxModule":{"mrsigner":"00`, `"tdxModule":{"mrsigner":"`, attest.CodeMalformed},
		"for SGX":                      {`"id":"TDX"`, `"id":"SGX"`, CodePlatformMismatch},
		"levels with the same numbers": {`"svn":6},{"svn":6}`, `"svn":7},{"svn":7}`, ""},
	} {
		body := bytes.Replace(info, []byte(c.old), []byte(c.text), 1)
		if bytes.Equal(body, info) {
			t.Fatalf("%s: nothing was changed", name)
		}
		got, _, err := parseTCBInfo(body)
		if c.code == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if got != nil || err == nil || codeOf(err) != c.code {
			t.Errorf("%s: %v, expected %s", name, err, c.code)
		}
	}
}

// TestTCBInfoForTwo: what belongs to one TEE does not stand in a document for the
// other.
func TestTCBInfoForTwo(t *testing.T) {
	f := newForged(t, SGX)
	tdx := f.vendor.TDXInfo()
	for name, edit := range map[string]func(){
		"TDX components": func() { f.info.Levels = tdx.Levels },
		"TDX module":     func() { f.info.TDXModule = tdx.TDXModule },
		"identities":     func() { f.info.TDXModuleIdentities = tdx.TDXModuleIdentities },
		"components in one level": func() {
			f.info.Levels = slices.Clone(f.info.Levels)
			f.info.Levels[1].TCB.TDX = tdx.Levels[1].TCB.TDX
		},
	} {
		f.info = f.vendor.SGXInfo()
		edit()
		if got, err := ParseTCBInfo(f.collateral(t)[0].Data); got != nil || err == nil {
			t.Errorf("%s: accepted for SGX", name)
		}
	}
	f = newForged(t, TDX)
	for name, edit := range map[string]func(){
		"components in one level": func() { f.info.Levels[1].TCB.TDX = nil },
		"no components":           func() { f.info.Levels = f.vendor.SGXInfo().Levels },
		"no module":               func() { f.info.TDXModule = nil },
		"no level":                func() { f.info.Levels = f.info.Levels[:0] },
		"the same level twice":    func() { f.info.Levels = append(f.info.Levels, f.info.Levels[0]) },
		"too many levels": func() {
			for i := range maxLevels {
				l := f.info.Levels[0]
				l.TCB.PCESVN = 100 + i
				f.info.Levels = append(f.info.Levels, l)
			}
		},
		"too many modules": func() {
			for i := range maxModules {
				m := f.info.TDXModuleIdentities[0]
				m.ID = fmt.Sprintf("TDX_%02X", 16+i)
				f.info.TDXModuleIdentities = append(f.info.TDXModuleIdentities, m)
			}
		},
	} {
		f.info = f.vendor.TDXInfo()
		edit()
		if got, err := ParseTCBInfo(f.collateral(t)[0].Data); got != nil || err == nil {
			t.Errorf("%s: accepted for TDX", name)
		}
	}
}

func TestQEIdentityRefuses(t *testing.T) {
	_, identity := bodies(t)
	for name, c := range map[string]struct {
		old, text string
		code      attest.Code
	}{
		"version 1":                {`"version":2`, `"version":1`, CodeUnsupported},
		"of the verifying enclave": {`"id":"TD_QE"`, `"id":"QVE"`, attest.CodeMalformed},
		"signer of 31 bytes":       {`"mrsigner":"DC`, `"mrsigner":"`, attest.CodeMalformed},
		"attributes of 8 bytes":    {`"attributes":"11000000000000000000000000000000"`, `"attributes":"1100000000000000"`, attest.CodeMalformed},
		"mask not hex":             {`"miscselectMask":"FFFFFFFF"`, `"miscselectMask":"FFFFFFFx"`, attest.CodeMalformed},
		"product of 65536":         {`"isvprodid":2`, `"isvprodid":65536`, attest.CodeMalformed},
		"SVN of 65536":             {`"isvsvn":4`, `"isvsvn":65536`, attest.CodeMalformed},
		"status for platforms":     {`"tcbStatus":"UpToDate"`, `"tcbStatus":"SWHardeningNeeded"`, attest.CodeMalformed},
		"next update before issue": {`"nextUpdate":"2026-07-08`, `"nextUpdate":"2025-07-08`, attest.CodeMalformed},
	} {
		body := bytes.Replace(identity, []byte(c.old), []byte(c.text), 1)
		if bytes.Equal(body, identity) {
			t.Fatalf("%s: nothing was changed", name)
		}
		if got, _, err := parseQEIdentity(body); got != nil || err == nil || codeOf(err) != c.code {
			t.Errorf("%s: %v, expected %s", name, err, c.code)
		}
	}
}

// TestAnswerRefuses: what stands around the document.
func TestAnswerRefuses(t *testing.T) {
	info, _ := bodies(t)
	sig := string(info[len(info)-130 : len(info)-2])
	for name, body := range map[string]string{
		"nothing":                  "",
		"null":                     "null",
		"a list":                   "[" + string(info) + "]",
		"a second document":        string(info) + string(info),
		"text after it":            string(info) + "x",
		"no document":              `{"signature":"` + sig + `"}`,
		"no signature":             strings.Replace(string(info), `,"signature":"`+sig+`"`, "", 1),
		"another member":           strings.Replace(string(info), `{"tcbInfo"`, `{"x":1,"tcbInfo"`, 1),
		"the document twice":       strings.Replace(string(info), `,"signature"`, `,"tcbInfo":{},"signature"`, 1),
		"in another case":          strings.Replace(string(info), `"tcbInfo"`, `"TcbInfo"`, 1),
		"signature one short":      strings.Replace(string(info), sig, sig[2:], 1),
		"signature not hex":        strings.Replace(string(info), sig, sig[:127]+"g", 1),
		"signature in capitals":    strings.Replace(string(info), sig, strings.ToUpper(sig), 1),
		"signature a number":       strings.Replace(string(info), `"`+sig+`"`, "1", 1),
		"a document that is null":  `{"tcbInfo":null,"signature":"` + sig + `"}`,
		"more than an endorsement": string(info) + strings.Repeat(" ", attest.MaxEndorsement),
		"broken text":              strings.Replace(string(info), "INTEL", "\xff", 1),
	} {
		if got, err := ParseTCBInfo([]byte(body)); got != nil || err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	// By themselves its members would be missed nowhere.
	if got, err := ParseQEIdentity([]byte(`{"signature":"` + sig + `"}`)); got != nil || err == nil {
		t.Error("QE identity without a document: accepted")
	}
}
