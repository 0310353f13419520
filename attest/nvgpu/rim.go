package nvgpu

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/blindbox/blindbox/attest"
)

// Namespaces of NVIDIA's manifests (ISO 19770-2:2015 SWID tag; TCG RIM 1.01).
const (
	swidSpace    = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd"
	hashSpace    = "http://www.w3.org/2001/04/xmlenc#sha384"
	maxRIM       = attest.MaxEndorsement
	maxGolden    = 256
	maxVariants  = 16
	measuredType = "Measurement"
)

// Golden is one measurement of a manifest: the values that NVIDIA says are good.
type Golden struct {
	Index  int
	Name   string
	Active bool // false: the manifest does not speak of it
	Values [][]byte
}

// Manifest is what a reference integrity manifest says. By itself it is a claim
// of whoever wrote it.
type Manifest struct {
	TagID   string
	Product string // the chip, "GH100"
	Edition string // "GPU", "SWITCH"
	Version string // of the driver or the VBIOS
	Golden  []Golden
}

// ParseManifest reads a manifest and the form of its signature, and trusts
// neither.
func ParseManifest(data []byte) (*Manifest, error) {
	m, _, err := parseManifest(data)
	return m, err
}

func parseManifest(data []byte) (*Manifest, *signedXML, error) {
	if len(data) > maxRIM {
		return nil, nil, fmt.Errorf("nvgpu: manifest of %d bytes, the limit is %d", len(data), maxRIM)
	}
	root, err := parseXML(data)
	if err != nil {
		return nil, nil, fmt.Errorf("nvgpu: manifest is no XML of the known form: %w", err)
	}
	s, err := readSignature(root)
	if err != nil {
		return nil, nil, fmt.Errorf("nvgpu: manifest's signature: %w", err)
	}
	m, err := readManifest(root)
	if err != nil {
		return nil, nil, fmt.Errorf("nvgpu: manifest: %w", err)
	}
	return m, s, nil
}

// readManifest reads the children of the root alone: the signature covers all
// of the document, and nothing deeper is looked for.
func readManifest(root *element) (*Manifest, error) {
	if !root.is(swidSpace, "SoftwareIdentity") {
		return nil, fmt.Errorf("root element %.40q, expected a SWID tag", root.local)
	}
	meta, err := root.only("Meta")
	if err != nil {
		return nil, err
	}
	payload, err := root.only("Payload")
	if err != nil {
		return nil, err
	}
	m := &Manifest{}
	for _, a := range []struct {
		from *element
		name string
		out  *string
	}{{root, "tagId", &m.TagID}, {meta, "product", &m.Product}, {meta, "edition", &m.Edition}, {meta, "colloquialVersion", &m.Version}} {
		value, _ := a.from.attr("", a.name)
		if value == "" {
			return nil, fmt.Errorf("%s has no %s", a.from.local, a.name)
		}
		*a.out = value
	}
	m.Golden, err = readPayload(payload)
	return m, err
}

// only returns the one child of that name.
func (e *element) only(local string) (*element, error) {
	children, err := e.children()
	if err != nil {
		return nil, err
	}
	var out *element
	for _, c := range children {
		if !c.is(swidSpace, local) {
			continue
		}
		if out != nil {
			return nil, fmt.Errorf("two elements %s", local)
		}
		out = c
	}
	if out == nil {
		return nil, fmt.Errorf("no element %s", local)
	}
	return out, nil
}

func readPayload(payload *element) ([]Golden, error) {
	children, err := payload.children()
	if err != nil {
		return nil, err
	}
	seen, active := make(map[int]bool), 0
	out := make([]Golden, 0, len(children))
	for i, c := range children {
		g, err := readGolden(c)
		if err != nil {
			return nil, fmt.Errorf("measurement at place %d: %w", i, err)
		}
		if seen[g.Index] {
			return nil, fmt.Errorf("measurement %d twice", g.Index)
		}
		seen[g.Index] = true
		if g.Active {
			active++
		}
		out = append(out, g)
	}
	if active == 0 {
		return nil, errors.New("no active measurement")
	}
	return out, nil
}

func readGolden(e *element) (Golden, error) {
	var g Golden
	kind, _ := e.attr("", "type")
	if !e.is(swidSpace, "Resource") || kind != measuredType || len(e.content) != 0 {
		return g, fmt.Errorf("element %.40q of type %.40q, expected a measurement", e.local, kind)
	}
	active, _ := e.attr("", "active")
	if active != "True" && active != "False" {
		return g, fmt.Errorf("active %.20q, expected True or False", active)
	}
	g.Active = active == "True"
	g.Name, _ = e.attr("", "name")
	var err error
	if g.Index, err = e.number("index", 0, maxGolden-1); err != nil {
		return g, err
	}
	variants, err := e.number("alternatives", 1, maxVariants)
	if err != nil {
		return g, err
	}
	size, err := e.number("size", 1, maxMeasurement)
	if err != nil {
		return g, err
	}
	g.Values, err = e.hashes(variants, size)
	return g, err
}

// number reads a decimal number in its one spelling.
func (e *element) number(name string, least, most int) (int, error) {
	text, _ := e.attr("", name)
	n, _ := strconv.Atoi(text) // text that is no number is not how any is spelt
	if strconv.Itoa(n) != text || n < least || n > most {
		return 0, fmt.Errorf("%s %.20q, expected %d to %d", name, text, least, most)
	}
	return n, nil
}

// hashes returns Hash0 to Hash(n-1), and an error if there is one more.
func (e *element) hashes(n, size int) ([][]byte, error) {
	total := 0
	for _, a := range e.attrs {
		if a.space == hashSpace {
			total++
		}
	}
	if total != n {
		return nil, fmt.Errorf("%d values, expected %d", total, n)
	}
	out := make([][]byte, n)
	for i := range out {
		text, _ := e.attr(hashSpace, "Hash"+strconv.Itoa(i))
		value, err := hex.DecodeString(text)
		if err != nil || len(value) != size {
			return nil, fmt.Errorf("value %d is %.20q, expected %d bytes in hex", i, text, size)
		}
		out[i] = value
	}
	return out, nil
}
