package inspect

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

const specStatement = "docs/rfc/001, package attest, Statement"

const statementLabel = "blindbox/attest/v1"

func isStatement(data []byte) bool {
	return len(data) > 2+len(statementLabel) && string(data[2:2+len(statementLabel)]) == statementLabel
}

// statement shows what the box says of itself, field by field, each behind a
// two-byte length.
func statement(data []byte) Section {
	c := read("statement", specStatement, data)
	when := func(v []byte) string {
		return numberBE(v) + time.Unix(int64(be(v)), 0).UTC().Format(" 2006-01-02T15:04:05Z")
	}
	for _, r := range []row{
		{0, "label", text, "what these bytes are for"},
		{0, "purpose", named(number, le, map[uint64]string{1: "session", 2: "hpke", 3: "peer", 4: "keys"}), "what the statement may be used for"},
		{0, "role", named(number, le, map[uint64]string{1: "server", 2: "client"}), "which end speaks"},
		{0, "nonce", inHex, "chosen by whoever asked"},
		{0, "spki", inHex, "SHA-256 of the TLS key"},
		{0, "hpke", inHex, "SHA-256 of the HPKE keys; zero if there are none"},
		{0, "attestation_key", inHex, "SHA-256 of the key that may sign later statements; zero if there is none"},
		{0, "exporter", inHex, "names the TLS connection (RFC 8446, 7.5)"},
		{0, "policy", inHex, "SHA-256 of the policy document"},
		{0, "not_before", when, "by the box's clock"},
		{0, "not_after", when, ""},
	} {
		n := c.take(2, r.name)
		if len(n) == 2 {
			r.size = int(binary.BigEndian.Uint16(n))
		}
		c.field(r)
	}
	return c.section()
}

func policyText(doc []byte) Section {
	s := Section{Title: "policy", Spec: "docs/files.md, box.yaml", Size: len(doc), Fields: []Field{{
		Offset: -1, Name: "sha256", Value: fmt.Sprintf("%x", sha256.Sum256(doc)), Meaning: "the statement and the launch name this digest"}}}
	for i, line := range strings.Split(strings.TrimSuffix(string(doc), "\n"), "\n") {
		if i == maxFields {
			s.Problem = fmt.Sprintf("more than %d lines, the rest is not shown", maxFields)
			break
		}
		s.Fields = append(s.Fields, Field{Offset: -1, Name: fmt.Sprintf("line %d", i+1), Value: clip(line)})
	}
	return s
}

// collateralMeanings are of Intel's TCB info and enclave identity (PCS API v4),
// by the last name of the path.
var collateralMeanings = map[string]string{
	"issueDate": "when Intel signed it", "nextUpdate": "after it the document is stale", "fmspc": "family, model, stepping, platform and custom SKU of the chip", "pceId": "of the provisioning certification enclave",
	"tcbEvaluationDataNumber": "rises whenever Intel changes what counts as up to date", "tcbDate": "when the level was current", "tcbStatus": "what Intel says of the level", "advisoryIDs": "what is open at this level",
	"signature": "ECDSA P-256 over the document's raw bytes, by the TCB signing certificate", "mrsigner": "who must have signed the enclave or module", "isvprodid": "product id", "isvsvn": "security version", "pcesvn": "security version of the PCE",
	"svn": "security version of one component", "id": "what the document is about", "version": "of the layout",
}

// jsonText shows each value of JSON under its path, duplicates included.
func jsonText(title, spec string, data []byte, meanings map[string]string) Section {
	c := read(title, spec, data)
	c.at = len(data)
	if spec == "" {
		c.s.Spec = "RFC 8259"
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	w := jsonWalk{c, d, meanings}
	w.value("", "", 0)
	if _, err := d.Token(); c.ok() && !errors.Is(err, io.EOF) {
		c.fail("something follows the JSON value at byte %d", d.InputOffset())
	}
	return c.section()
}

type jsonWalk struct {
	c        *cursor
	d        *json.Decoder
	meanings map[string]string
}

func (w jsonWalk) token() json.Token {
	t, err := w.d.Token()
	if err != nil {
		w.c.fail("no JSON at byte %d: %v", w.d.InputOffset(), err)
	}
	return t
}

func (w jsonWalk) value(path, last string, depth int) {
	at := int(w.d.InputOffset())
	t := w.token()
	if depth > maxDepth {
		w.c.fail("%s is more than %d deep", path, maxDepth)
	}
	if !w.c.ok() {
		return
	}
	switch t {
	case json.Delim('{'):
		for w.c.ok() && w.d.More() {
			name, _ := w.token().(string)
			name = clipTo(name, maxName) // it stands in the name of everything below
			w.value(strings.TrimPrefix(path+"."+name, "."), name, depth+1)
		}
		w.token()
	case json.Delim('['):
		for i := 0; w.c.ok() && w.d.More(); i++ {
			w.value(fmt.Sprintf("%s[%d]", path, i), last, depth+1)
		}
		w.token()
	default:
		w.c.add(Field{Offset: at, Name: path, Value: fmt.Sprint(t), Meaning: w.meanings[last]})
	}
}

// xmlText shows each element's attributes and text.
func xmlText(title, spec string, data []byte) Section {
	c := read(title, spec, data)
	c.at = len(data)
	d := xml.NewDecoder(bytes.NewReader(data))
	d.Entity = map[string]string{}
	var path []string
	for c.ok() {
		at := int(d.InputOffset())
		t, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			c.fail("no XML at byte %d: %v", at, err)
			break
		}
		switch t := t.(type) {
		case xml.StartElement:
			path = append(path, clipTo(t.Name.Local, maxName))
			if len(path) > maxDepth {
				c.fail("more than %d deep at byte %d", maxDepth, at)
			}
			for _, a := range t.Attr {
				c.add(Field{Offset: at, Name: strings.Join(path, "/") + "@" + clipTo(a.Name.Local, maxName), Value: a.Value})
			}
		case xml.EndElement:
			path = path[:max(0, len(path)-1)]
		case xml.CharData:
			if v := strings.Join(strings.Fields(string(t)), ""); v != "" {
				c.add(Field{Offset: at, Name: strings.Join(path, "/"), Value: v})
			}
		}
	}
	return c.section()
}
