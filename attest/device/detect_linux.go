package device

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/blindbox/blindbox/attest"
)

// Candidate is one way to get Evidence and what was found of it.
type Candidate struct {
	// Kind is the kind of Evidence that this way leads to.
	Kind attest.Kind `json:"kind"`
	// Path is the directory or device node.
	Path string `json:"path"`
	// Present says that Path exists.
	Present bool `json:"present"`
	// Detail is what was found there, "provider sev_guest".
	Detail string `json:"detail,omitempty"`
	// Reason says why no Evidence of this kind can be had, and what to do about
	// it. It is empty if Evidence can be had.
	Reason string `json:"reason,omitempty"`
}

// Usable reports whether Evidence can be had this way.
func (c Candidate) Usable() bool { return c.Kind.Valid() && c.Present && c.Reason == "" }

// String returns one line.
func (c Candidate) String() string {
	return fmt.Sprintf("%s %s: %s", c.Kind, c.Path, c.finding())
}

func (c Candidate) finding() string {
	switch {
	case c.Usable() && c.Detail == "":
		return "usable"
	case c.Usable():
		return "usable: " + c.Detail
	case c.Reason == "":
		return "not looked at"
	default:
		return c.Reason
	}
}

// Detection is what was found on this machine, one Candidate for each kind.
type Detection []Candidate

// Usable returns the Candidates that Evidence can be had from.
func (d Detection) Usable() []Candidate {
	var out []Candidate
	for _, c := range d {
		if c.Usable() {
			out = append(out, c)
		}
	}
	return out
}

// Find returns the Candidate of that kind.
func (d Detection) Find(k attest.Kind) (Candidate, bool) {
	i := slices.IndexFunc(d, func(c Candidate) bool { return c.Kind == k })
	if i < 0 {
		return Candidate{}, false
	}
	return d[i], true
}

// String returns a table with a line for each Candidate.
func (d Detection) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, c := range d {
		// What others say may hold anything; a table has one line for each.
		fmt.Fprintf(w, "%s\t%s\t%s\n", c.Kind, c.Path, strings.Join(strings.Fields(c.finding()), " "))
	}
	_ = w.Flush()
	return strings.TrimSuffix(b.String(), "\n")
}

// Options say what of the machine to use. The zero value is a machine with one
// kind of hardware.
type Options struct {
	// Kinds is what to ask. None means the only kind there is. Several make
	// Composite evidence; the first is the processor's.
	Kinds []attest.Kind
	// TDQuote turns the TDREPORT of an Azure VM into a quote. Only the host can do
	// that, and this package does not speak HTTP.
	TDQuote func(ctx context.Context, tdreport []byte) ([]byte, error)
	// Helpers are the programs that print the evidence of devices, with their
	// arguments, by kind; see [Helper].
	Helpers map[attest.Kind]Helper
}

// Detect looks at what this machine offers. It asks for no Evidence, but makes
// and removes an entry in configfs, since only an entry names its provider, and
// asks the TPM for what it stores; that usually takes root.
func Detect(o Options) Detection { return detect(kernel{}, o) }

func detect(files files, o Options) Detection {
	d := detectTSM(files)
	d = append(d, detectGramine(files), detectNSM(files))
	d = append(d, detectTPM(files, o)...)
	return append(d, detectHelper(files, o, attest.NVIDIAGPU), detectHelper(files, o, attest.NVSwitch))
}

// absent fills in a Candidate whose path is not there, and reports whether it
// is.
func absent(files files, c *Candidate, hint string) bool {
	err := files.stat(c.Path)
	switch {
	case err == nil:
		c.Present = true
		return false
	case errors.Is(err, fs.ErrNotExist):
		c.Reason = "not there: " + hint
	default:
		c.Reason = err.Error()
	}
	return true
}

// Open returns an Attester for this machine. If there is none the error wraps
// [attest.ErrUnavailable] and says what was looked for and found.
func Open(o Options) (attest.Attester, error) { return open(kernel{}, o) }

func open(files files, o Options) (attest.Attester, error) {
	d := detect(files, o)
	kinds, err := d.choose(o.Kinds)
	if err != nil {
		return nil, err
	}
	var all []attest.Attester
	var beside []Parts
	for i, k := range kinds {
		if k.Device() {
			beside = append(beside, helperParts(o.Helpers[k], k))
			continue
		}
		a, err := openKind(files, k, o)
		if err != nil {
			return nil, unavailable(err)
		}
		all = append(all, a)
		if i > 0 {
			beside = append(beside, One(a))
		}
	}
	if len(beside) == 0 {
		return all[0], nil
	}
	return Compose(all[0], beside...)
}

// openKind opens what stands alone.
func openKind(files files, k attest.Kind, o Options) (attest.Attester, error) {
	switch k {
	case attest.SNP, attest.TDX:
		return newTSM(files, k), nil
	case attest.SGX:
		return newGramine(files), nil
	case attest.Nitro:
		return openNSM(nsmPath)
	case attest.TPM:
		return newTPM(files), nil
	case attest.AzureSNP, attest.AzureTDX:
		return newAzure(files, k, o.TDQuote), nil
	}
	return nil, fmt.Errorf("no driver for %s", k)
}

// choose returns the kinds to use: those that were named if all are usable, or
// the only one there is.
func (d Detection) choose(named []attest.Kind) ([]attest.Kind, error) {
	if len(named) == 0 {
		return d.only()
	}
	for i, k := range named {
		switch c, known := d.Find(k); {
		case !known:
			return nil, fmt.Errorf("device: evidence %w: no hardware gives evidence of kind %s", attest.ErrUnavailable, k)
		case !c.Usable():
			return nil, fmt.Errorf("device: evidence %w: %s was asked for:\n%s", attest.ErrUnavailable, k, d)
		case slices.Index(named, k) != i:
			return nil, fmt.Errorf("device: evidence %w: %s was asked for twice", attest.ErrUnavailable, k)
		case i == 0 && k.Device():
			return nil, fmt.Errorf("device: evidence %w: %s was asked for first, expected the processor's kind: a device proves nothing about the machine it is in", attest.ErrUnavailable, k)
		}
	}
	return named, nil
}

func (d Detection) only() ([]attest.Kind, error) {
	usable := d.Usable()
	switch {
	case len(usable) == 0 || len(usable) == 1 && usable[0].Kind.Device():
		return nil, fmt.Errorf("device: evidence %w on this machine:\n%s", attest.ErrUnavailable, d)
	case len(usable) > 1:
		names := make([]string, len(usable))
		for i, c := range usable {
			names[i] = c.Kind.String()
		}
		return nil, fmt.Errorf("device: evidence %w: this machine gives %s: name the one to use, or several that belong together:\n%s",
			attest.ErrUnavailable, strings.Join(names, " and "), d)
	}
	return []attest.Kind{usable[0].Kind}, nil
}
