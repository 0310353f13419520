package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/blindbox/blindbox/internal/strictyaml"
)

// Parse reads a policy document. The error names every line that is wrong.
func Parse(doc []byte) (*Policy, error) {
	var d document
	if err := strictyaml.Decode(doc, &d); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	b := builder{policy: Policy{
		doc: bytes.Clone(doc), digest: sha256.Sum256(doc), lines: strictyaml.Lines(doc),
	}}
	b.build(&d)
	if err := b.errs.Err(); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	return &b.policy, nil
}

// builder turns a document into a Policy and collects what is wrong.
type builder struct {
	policy Policy
	errs   strictyaml.Errors
	bad    map[strictyaml.Pos]bool
}

// refuse says what is wrong with the value at p, unless its form was already.
func (b *builder) refuse(p strictyaml.Pos, path, seen, expected string) {
	if !b.bad[p] {
		b.errs.Add(p, path, "", seen, expected)
	}
}

// refuseText is for a value that cannot be what it says.
func (b *builder) refuseText(t text, path, expected string) {
	b.refuse(t.Pos, path, strictyaml.Quote(t.Value), expected)
}

func (b *builder) missing(p strictyaml.Pos, path, why string) {
	b.errs.Add(p, path, "missing", "", why)
}

func given[T any](a strictyaml.At[T]) bool { return a.Pos.Line != 0 }

func (b *builder) build(d *document) {
	c := checker{forms: forms(), errs: &b.errs, bad: map[strictyaml.Pos]bool{}}
	c.structure(reflect.ValueOf(d).Elem(), "")
	b.bad = c.bad
	b.policy.Name = d.Name.Value
	if d.App != nil {
		b.app(d.App)
	}
	b.services(d.Services)
	b.models(d.Models)
	b.store(d.Store, len(d.Callers))
	b.callers(d)
	b.egress(&d.Egress)
	b.policy.Files = b.filesOf(d.Files, "files")
	b.limits(d.Limits)
	b.policy.Logs = LogsNone
	if given(d.Logs) {
		b.policy.Logs = Logs(d.Logs.Value)
	}
	b.policy.Audit = AuditBox
	if given(d.Audit) {
		b.policy.Audit = Audit(d.Audit.Value)
	}
	b.operators(d)
	b.policy.Platforms = values[string](d.Platforms)
	b.cedar(&d.Cedar)
}

// values returns a list without its places.
func values[T ~string](list []text) []T {
	var out []T
	for _, t := range list {
		out = append(out, T(t.Value))
	}
	return out
}

// digest reads "sha256:" and 64 lower-case hex digits. Other spellings of the
// same value are refused, so that two documents that mean the same look alike.
func (b *builder) digest(t text, path string) (sum [sha256.Size]byte) {
	digits, _ := cutPrefix(t.Value, "sha256:")
	raw, _ := hex.DecodeString(digits)
	if len(raw) != sha256.Size {
		b.refuseText(t, path, digestForm)
		return sum
	}
	sum = [sha256.Size]byte(raw)
	if sum == [sha256.Size]byte{} || sum == sha256.Sum256(nil) {
		b.refuse(t.Pos, path, "the digest of nothing", "that of something")
	}
	return sum
}

// unique refuses a second use of a value.
func (b *builder) unique(first map[string]strictyaml.Pos, t text, path, what string) {
	if before, twice := first[t.Value]; twice {
		b.errs.Add(t.Pos, path, fmt.Sprintf("the same %s as at %s", what, before), "", "")
		return
	}
	first[t.Value] = t.Pos
}

// maxFilePath is PATH_MAX without the final zero (limits.h of Linux).
const maxFilePath = 4095

// isFilePath reports whether s is an absolute path in its shortest form.
func isFilePath(s string) bool {
	if !strings.HasPrefix(s, "/") || len(s) > maxFilePath {
		return false
	}
	for _, part := range strings.Split(s[1:], "/") {
		if part == "." || part == ".." || part == "" && s != "/" {
			return false
		}
	}
	return true
}

// filePath refuses a path that is not in its shortest form, and the root if
// that makes no sense.
func (b *builder) filePath(t text, path string, root bool) {
	if given(t) && (!isFilePath(t.Value) || t.Value == "/" && !root) {
		b.refuseText(t, path, absolutePath)
	}
}

func (b *builder) models(docs []modelDoc) {
	first := map[string]strictyaml.Pos{}
	for i, d := range docs {
		at := fmt.Sprintf("models[%d]", i)
		b.unique(first, d.Name, at+".name", "model")
		b.filePath(d.Path, at+".path", false)
		m := Model{Name: d.Name.Value, Builtin: d.Builtin.Value, Path: d.Path.Value, Line: d.Pos.Line}
		switch {
		case given(d.SHA256):
			m.SHA256 = b.digest(d.SHA256, at+".sha256")
		case given(d.Path):
			b.refuse(d.Pos, at+".sha256", "none", "the digest of the file, since the host can supply another")
		}
		if d.Batch != nil {
			m.Batch = &Batch{Rows: d.Batch.Rows.Value, Wait: d.Batch.Wait.Value}
		}
		b.policy.Models = append(b.policy.Models, m)
	}
}

// filesOf reads a section on files at a path of the document.
func (b *builder) filesOf(d *filesDoc, path string) (f Files) {
	if d == nil {
		return f
	}
	f.Tmp = b.size(d.Tmp, path+".tmp", 0)
	first := map[string]strictyaml.Pos{}
	if given(d.Tmp) {
		first["/tmp"] = d.Tmp.Pos
	}
	for i, w := range d.Writable {
		at := fmt.Sprintf("%s.writable[%d]", path, i)
		b.filePath(w.Path, at+".path", false)
		if kernelOwned(w.Path.Value) {
			b.refuseText(w.Path, at+".path", "a place outside /proc, /sys and /dev")
		}
		b.unique(first, w.Path, at+".path", "place")
		f.Writable = append(f.Writable, Writable{Path: w.Path.Value, Size: b.size(w.Size, at+".size", 0), Line: w.Pos.Line})
	}
	return f
}

// kernelOwned reports whether a path is one of the places that the kernel fills.
func kernelOwned(path string) bool {
	return slices.ContainsFunc([]string{"/proc", "/sys", "/dev"}, func(dir string) bool {
		return path == dir || strings.HasPrefix(path, dir+"/")
	})
}

func (b *builder) limits(d *limitsDoc) {
	if d == nil {
		d = &limitsDoc{}
	}
	request := int64(DefaultRequest)
	if len(b.policy.Models) > 0 || b.policy.Store != nil {
		request = DefaultForModels
	}
	l := Limits{
		Request:    b.size(d.Request, "limits.request", request),
		Response:   b.size(d.Response, "limits.response", 0),
		Memory:     b.size(d.Memory, "limits.memory", 0),
		Concurrent: or(d.Concurrent, DefaultConcurrent),
		Time:       or(d.Time, 0),
		Idle:       or(d.Idle, DefaultIdle),
		PIDs:       or(d.PIDs, 0),
		OpenFiles:  or(d.OpenFiles, 0),
		CPU:        b.cpu(d.CPU, "limits.cpu"),
	}
	if b.policy.App != nil && b.policy.App.Image != "" {
		l.Memory = b.size(d.Memory, "limits.memory", DefaultMemory)
		l.PIDs, l.OpenFiles = or(d.PIDs, DefaultPIDs), or(d.OpenFiles, DefaultOpenFiles)
	}
	b.policy.Limits = l
}

// or returns a value of the document, or what holds without it.
func or[T any](a strictyaml.At[T], otherwise T) T {
	if given(a) {
		return a.Value
	}
	return otherwise
}

// cpu reads processors in thousandths.
func (b *builder) cpu(a strictyaml.At[scalar], path string) int {
	if !given(a) {
		return 0
	}
	whole, part, _ := strings.Cut(string(a.Value), ".")
	n, _ := strconv.Atoi(whole + (part + "000")[:3])
	if n <= 0 {
		b.refuse(a.Pos, path, strictyaml.Quote(string(a.Value)), "more than none")
		return 0
	}
	return n
}

const maxSize = 1 << 40

// size reads a number of bytes.
func (b *builder) size(t text, path string, otherwise int64) int64 {
	if !given(t) {
		return otherwise
	}
	n, ok := parseSize(t.Value)
	if !ok {
		b.refuseText(t, path, sizeForm)
	}
	return n
}

// parseSize reads a number of bytes. There are no decimal units: who reads
// "1MB" cannot know which is meant.
func parseSize(s string) (int64, bool) {
	m := sizePattern.FindStringSubmatch(s)
	if m == nil {
		return 0, false
	}
	n, _ := strconv.ParseInt(m[1], 10, 64)
	unit := map[string]int64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[m[2]]
	if n > math.MaxInt64/unit || n*unit > maxSize {
		return 0, false
	}
	return n * unit, true
}

// budget reads requests per time.
func (b *builder) budget(t text) *Budget {
	m := budgetPattern.FindStringSubmatch(t.Value)
	if m == nil {
		return nil
	}
	n, _ := strconv.ParseInt(m[1], 10, 64)
	return &Budget{Count: n, Per: perTime(m[2])}
}

// byteBudget reads bytes per time.
func (b *builder) byteBudget(t text, path string) *Budget {
	m := bytesPattern.FindStringSubmatch(t.Value)
	if m == nil {
		return nil
	}
	n, ok := parseSize(m[1])
	if !ok {
		b.refuseText(t, path, "at most 1024GiB")
		return nil
	}
	return &Budget{Count: n, Per: perTime(m[2])}
}

func perTime(unit string) time.Duration {
	return map[string]time.Duration{"s": time.Second, "min": time.Minute, "h": time.Hour, "day": 24 * time.Hour}[unit]
}

// cutPrefix is strings.CutPrefix with an empty rest if there is no prefix.
func cutPrefix(s, prefix string) (string, bool) {
	if rest, ok := strings.CutPrefix(s, prefix); ok {
		return rest, true
	}
	return "", false
}
