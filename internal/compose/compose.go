// Package compose answers one question: what does a Compose file ask of a box, and
// what of it does a box not do?
//
// [Convert] reads a Compose file and writes the policy that runs its services: the
// one that answers requests as the app, the others beside it. Every key of the file
// is taken over, or holds in every box, or is told as one that is left out, or is
// refused; each with its line, and none without a word. A file is refused where
// leaving something out would make something else of it than what its author meant.
//
// The file may come from a stranger: its keys are compared with a table before the
// library that knows the format (compose-spec/compose-go) sees them, and nothing of
// this machine goes into the policy, which every client is shown, but what the
// caller hands in: no variable of the environment, no file but those that env_file
// names below the Compose file's own folder.
//
// The package stands with whoever writes a policy. Nothing of it is in the box.
package compose

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/blindbox/blindbox/policy"
)

// MaxSize is the largest Compose file in bytes.
const MaxSize = 256 << 10

// Config is how a file is converted. Image is required.
type Config struct {
	// App names the service that answers requests; "" means the only one with ports.
	App string
	// Listen is the port at which it does; 0 means the only one that it has.
	Listen int
	// Variables are those that the file may use, as ${NAME}.
	Variables map[string]string
	// EnvFile returns what a file holds that env_file names, by its path below the
	// Compose file's folder. nil means that there are none.
	EnvFile func(path string) ([]byte, error)
	// Images says of some services which image runs, whatever the file says.
	Images map[string]string
	// Image finds the image that a name stands for now.
	Image func(ctx context.Context, name string) (Image, error)
	// VolumeSize is the size of volumes and of tmpfs that say none.
	VolumeSize int64
}

// Image is what is asked of an image.
type Image struct {
	// Digest is of its manifest for the box's platform.
	Digest [sha256.Size]byte
	// Entrypoint and Cmd are its own command, in two halves.
	Entrypoint, Cmd []string
}

// Note is something of a file that is not in the policy.
type Note struct {
	Line int    `json:"line"` // 0 if it is about what the file does not say
	Path string `json:"path"`
	Text string `json:"text"`
}

// String returns "line 12: services.web.restart: ...".
func (n Note) String() string {
	at := n.Path + ": "
	if n.Line > 0 {
		at = fmt.Sprintf("line %d: %s", n.Line, at)
	}
	return at + n.Text
}

// Refused is everything for which a file is refused, in the order of lines.
type Refused []Note

func (r Refused) Error() string {
	lines := make([]string, len(r))
	for i, n := range r {
		lines[i] = n.String()
	}
	return strings.Join(lines, "\n")
}

// Convert writes the policy that runs a Compose file, and says what of the file is
// not in it. The error is a [Refused] where the file is the reason.
func Convert(ctx context.Context, file []byte, cfg Config) (box []byte, left []Note, err error) {
	c := &converter{cfg: cfg}
	doc, err := read(file)
	if err != nil {
		return nil, nil, err
	}
	c.lines = doc.lines
	c.keys(doc)
	if err := c.refused(); err != nil {
		return nil, nil, err
	}
	project, err := c.load(ctx, doc)
	if err != nil {
		return nil, nil, err
	}
	b := c.box(ctx, project)
	if err := c.refused(); err != nil {
		return nil, nil, err
	}
	box = b.yaml()
	if _, err := policy.Parse(box); err != nil {
		return nil, nil, fmt.Errorf("compose: the file became a policy that is none: %w", err)
	}
	return box, sorted(c.left), nil
}

// converter collects what is wrong with a file, and what is left out of it.
type converter struct {
	cfg   Config
	lines map[string]int
	left  []Note
	wrong []Note
}

func (c *converter) refuse(path, format string, args ...any) {
	c.wrong = append(c.wrong, Note{c.line(path), path, fmt.Sprintf(format, args...)})
}

func (c *converter) leave(path, format string, args ...any) {
	c.left = append(c.left, Note{c.line(path), path, fmt.Sprintf(format, args...)})
}

// line is where a path is, or the nearest one above it.
func (c *converter) line(path string) int {
	for path != "" {
		if n, ok := c.lines[path]; ok {
			return n
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 0
}

func (c *converter) refused() error {
	if len(c.wrong) == 0 {
		return nil
	}
	return Refused(sorted(c.wrong))
}

func sorted(notes []Note) []Note {
	slices.SortStableFunc(notes, func(a, b Note) int { return cmp.Or(a.Line-b.Line, strings.Compare(a.Path, b.Path)) })
	return slices.Compact(notes)
}
