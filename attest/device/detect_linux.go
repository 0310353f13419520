package device

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/blindbox/blindbox/attest"
)

// Candidate is one way to get Evidence and what was found of it.
type Candidate struct {
	// Path is the directory or device node.
	Path string
	// Present says that Path exists.
	Present bool
	// Provider is what the kernel calls the hardware, "sev_guest" for SEV-SNP;
	// only configfs-tsm tells.
	Provider string
	// Kind is the kind of Evidence that can be had, or KindInvalid.
	Kind attest.Kind
	// Reason says why Kind is invalid, and what to do about it.
	Reason string
}

// Usable reports whether Evidence can be had this way.
func (c Candidate) Usable() bool { return c.Kind.Valid() }

// String returns one line.
func (c Candidate) String() string {
	if c.Usable() {
		return fmt.Sprintf("%s: %s (provider %s)", c.Path, c.Kind, c.Provider)
	}
	return c.Path + ": " + c.Reason
}

// Detection is what was found on this machine, the preferred way first.
type Detection []Candidate

// Usable returns the first Candidate that Evidence can be had from.
func (d Detection) Usable() (Candidate, bool) {
	for _, c := range d {
		if c.Usable() {
			return c, true
		}
	}
	return Candidate{}, false
}

// String returns a line for each Candidate.
func (d Detection) String() string {
	lines := make([]string, len(d))
	for i, c := range d {
		lines[i] = c.String()
	}
	return strings.Join(lines, "\n")
}

// nodes are device nodes that tell what the machine is, although this version
// does not use them.
var nodes = [...]struct{ path, reason string }{
	{"/dev/sev-guest", "present: this is a SEV-SNP guest, but this version asks through configfs-tsm only"},
	{"/dev/tdx_guest", "present: this is a TDX guest, which this version does not support"},
	{"/dev/nsm", "present: this is a Nitro enclave, which this version does not support"},
}

// Detect looks at what this machine offers. It asks for no Evidence, but makes
// and removes an entry in configfs, since only an entry names its provider; that
// usually takes root.
func Detect() Detection { return detect(kernel{}) }

func detect(files files) Detection {
	d := Detection{detectTSM(files)}
	for _, n := range nodes {
		c := Candidate{Path: n.path, Reason: "not there"}
		switch err := files.stat(n.path); {
		case err == nil:
			c.Present, c.Reason = true, n.reason
		case !errors.Is(err, fs.ErrNotExist):
			c.Reason = err.Error()
		}
		d = append(d, c)
	}
	return d
}

func detectTSM(files files) Candidate {
	c := Candidate{Path: tsmReports}
	if err := files.stat(tsmReports); err != nil {
		c.Reason = "not there: needs Linux 6.7 or later in a confidential guest, with configfs mounted (mount -t configfs none /sys/kernel/config) and the module of the hardware (modprobe sev-guest)"
		if !errors.Is(err, fs.ErrNotExist) {
			c.Reason = err.Error()
		}
		return c
	}
	c.Present = true
	provider, err := askProvider(files)
	c.Provider = provider
	switch {
	case errors.Is(err, fs.ErrPermission):
		c.Reason = "no permission to make an entry: run as root"
	case errors.Is(err, syscall.ENXIO):
		c.Reason = "no provider: the kernel found no hardware that it can ask (is the module sev-guest loaded?)"
	case err != nil:
		c.Reason = err.Error()
	case provider != providerSNP:
		c.Reason = fmt.Sprintf("provider %q, expected %q: this version supports SEV-SNP only", provider, providerSNP)
	default:
		c.Kind = attest.SNP
	}
	return c
}

func askProvider(files files) (string, error) {
	e, err := newEntry(files)
	if err != nil {
		return "", err
	}
	defer e.remove()
	return e.text("provider")
}

// Open returns an Attester for this machine. If there is none the error wraps
// [attest.ErrUnavailable] and says what was looked for and found.
func Open() (attest.Attester, error) { return open(kernel{}) }

func open(files files) (attest.Attester, error) {
	d := detect(files)
	if _, ok := d.Usable(); !ok {
		return nil, fmt.Errorf("device: evidence %w on this machine:\n%s", attest.ErrUnavailable, d)
	}
	return newTSM(files), nil
}
