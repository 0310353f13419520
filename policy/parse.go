package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/blindbox/blindbox/internal/strictyaml"
)

// document is box.yaml as it is written. Every value that is checked after
// reading knows its place.
type document struct {
	Name    text       `yaml:"name,required"`
	App     *appDoc    `yaml:"app"`
	Models  []modelDoc `yaml:"models"`
	Callers []caller   `yaml:"callers"`
	Limits  *limitsDoc `yaml:"limits"`
	Logs    text       `yaml:"logs"`
}

type text = strictyaml.At[string]

type appDoc struct {
	Pos     strictyaml.Pos
	Command []text          `yaml:"command,required"`
	Env     map[string]text `yaml:"env"`
	Dir     text            `yaml:"dir"`
	Listen  text            `yaml:"listen,required"`
}

type modelDoc struct {
	Pos     strictyaml.Pos
	Name    text `yaml:"name,required"`
	Builtin text `yaml:"builtin"`
	Path    text `yaml:"path"`
	SHA256  text `yaml:"sha256"`
}

type caller struct {
	Pos    strictyaml.Pos
	Name   text                `yaml:"name"`
	APIKey text                `yaml:"api_key"`
	Anyone strictyaml.At[bool] `yaml:"anyone"`
	May    []text              `yaml:"may,required"`
	Paths  []text              `yaml:"paths"`
}

type limitsDoc struct {
	Request    text                         `yaml:"request"`
	Concurrent strictyaml.At[int]           `yaml:"concurrent"`
	Idle       strictyaml.At[time.Duration] `yaml:"idle"`
}

// later are the keys of the form that is planned, by the path they stand at.
// They are refused like any unknown key, but it is said why.
func later() map[string][]string {
	return map[string][]string{
		"":        {"egress", "files", "operators", "platforms"},
		"app":     {"image", "digest"},
		"callers": {"oidc", "audience", "claim", "rate", "role", "certificate"},
		"limits":  {"memory", "pids", "cpu", "rate"},
	}
}

// Parse reads a policy document. The error names every line that is wrong.
func Parse(doc []byte) (*Policy, error) {
	var d document
	if err := strictyaml.Decode(doc, &d); err != nil {
		return nil, fmt.Errorf("policy: %w", explainLater(err))
	}
	b := builder{policy: Policy{doc: bytes.Clone(doc), digest: sha256.Sum256(doc)}}
	b.build(&d)
	if err := b.errs.Err(); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	return &b.policy, nil
}

var index = regexp.MustCompile(`\[[0-9]+\]`)

func explainLater(err error) error {
	var all strictyaml.Errors
	if !errors.As(err, &all) {
		return err
	}
	for _, e := range all {
		if e.Unknown != "" && slices.Contains(later()[index.ReplaceAllString(e.Path, "")], e.Unknown) {
			e.Problem = fmt.Sprintf("this version does not enforce %q, so it refuses it rather than pretend", e.Unknown)
			e.Expected, e.Nearest = "", ""
		}
	}
	return all
}

// builder turns a document into a Policy and collects what is wrong.
type builder struct {
	policy Policy
	errs   strictyaml.Errors
}

func (b *builder) refuse(p strictyaml.Pos, path, seen, expected string) {
	b.errs.Add(p, path, "", seen, expected)
}

// refuseText is for a value that has the wrong form.
func (b *builder) refuseText(t text, path, expected string) {
	b.refuse(t.Pos, path, strictyaml.Quote(t.Value), expected)
}

var topOfDocument = strictyaml.Pos{Line: 1, Column: 1}

var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

const nameForm = "1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit"

func (b *builder) build(d *document) {
	if b.policy.Name = d.Name.Value; !name.MatchString(d.Name.Value) {
		b.refuseText(d.Name, "name", nameForm)
	}
	switch {
	case d.App != nil && d.Models != nil:
		b.refuse(d.App.Pos, "app", "app and models", "one of the two")
	case d.App == nil && d.Models == nil:
		b.refuse(topOfDocument, "", "neither app nor models", "one of the two")
	}
	if d.App != nil {
		b.app(d.App)
	}
	b.models(d.Models)
	b.callers(d.Callers)
	b.limits(d.Limits)
	b.logs(d.Logs)
}

func (b *builder) app(d *appDoc) {
	a := &App{Dir: d.Dir.Value, Listen: d.Listen.Value}
	for i, arg := range d.Command {
		if strings.ContainsRune(arg.Value, 0) || i == 0 && arg.Value == "" {
			b.refuseText(arg, fmt.Sprintf("app.command[%d]", i), "a program")
		}
		a.Command = append(a.Command, arg.Value)
	}
	if d.Dir.Pos.Line != 0 && !isFilePath(d.Dir.Value) {
		b.refuseText(d.Dir, "app.dir", absolutePath)
	}
	if !isListen(d.Listen.Value) {
		b.refuseText(d.Listen, "app.listen", `"127.0.0.1:PORT" or "unix:/path": what an app listens on elsewhere can be reached around the box`)
	}
	b.env(a, d.Env)
	b.policy.App = a
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (b *builder) env(a *App, env map[string]text) {
	if env == nil {
		return
	}
	a.Env = make(map[string]string, len(env))
	for k, v := range env {
		if !envName.MatchString(k) {
			b.refuse(v.Pos, "app.env", strictyaml.Quote(k), "a name of letters, digits and '_'")
		}
		a.Env[k] = v.Value
	}
}

const absolutePath = "an absolute path without '.', '..' or '//'"

// isFilePath reports whether s is an absolute path in its shortest form.
func isFilePath(s string) bool {
	if !strings.HasPrefix(s, "/") || len(s) > 4096 || strings.ContainsAny(s, "\n\x00") {
		return false
	}
	for _, part := range strings.Split(s[1:], "/") {
		if part == "." || part == ".." || part == "" && s != "/" {
			return false
		}
	}
	return true
}

// maxSocketPath is what Linux has room for in sun_path, with the final zero
// (unix(7)).
const maxSocketPath = 107

func isListen(s string) bool {
	if path, ok := cutPrefix(s, "unix:"); ok {
		return isFilePath(path) && path != "/" && len(path) <= maxSocketPath
	}
	ap, err := netip.ParseAddrPort(s)
	return err == nil && ap.Addr() == netip.AddrFrom4([4]byte{127, 0, 0, 1}) && ap.Port() != 0 && ap.String() == s
}

func (b *builder) models(docs []modelDoc) {
	first := map[string]strictyaml.Pos{}
	for i, d := range docs {
		at := fmt.Sprintf("models[%d]", i)
		b.unique(first, d.Name, at+".name", "model")
		if !name.MatchString(d.Name.Value) {
			b.refuseText(d.Name, at+".name", nameForm)
		}
		b.policy.Models = append(b.policy.Models, b.model(d, at))
	}
}

func (b *builder) model(d modelDoc, at string) Model {
	m := Model{Name: d.Name.Value, Builtin: d.Builtin.Value, Path: d.Path.Value}
	builtin, path, digest := d.Builtin.Pos.Line != 0, d.Path.Pos.Line != 0, d.SHA256.Pos.Line != 0
	switch {
	case builtin == path:
		b.refuse(d.Pos, at, map[bool]string{true: "builtin and path", false: "neither builtin nor path"}[builtin], "one of the two")
	case builtin && !name.MatchString(d.Builtin.Value):
		b.refuseText(d.Builtin, at+".builtin", nameForm)
	case path && (!isFilePath(d.Path.Value) || d.Path.Value == "/"):
		b.refuseText(d.Path, at+".path", absolutePath)
	case path && !digest:
		b.refuse(d.Pos, at+".sha256", "none", "the digest of the file, since the host can supply another")
	}
	if digest {
		m.SHA256 = b.digest(d.SHA256, at+".sha256")
	}
	return m
}

// digest reads "sha256:" and 64 lower-case hex digits. Other spellings of the
// same value are refused, so that two documents that mean the same look alike.
func (b *builder) digest(t text, path string) (sum [sha256.Size]byte) {
	digits, ok := cutPrefix(t.Value, "sha256:")
	if n, err := hex.Decode(sum[:], []byte(digits[:min(len(digits), 2*sha256.Size)])); !ok || err != nil ||
		n != sha256.Size || len(digits) != 2*sha256.Size || strings.ToLower(digits) != digits {
		b.refuseText(t, path, `"sha256:" and 64 lower-case hex digits`)
		return [sha256.Size]byte{}
	}
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

func (b *builder) callers(docs []caller) {
	names, keys := map[string]strictyaml.Pos{}, map[string]strictyaml.Pos{}
	for i, d := range docs {
		at := fmt.Sprintf("callers[%d]", i)
		c := Caller{Line: d.Pos.Line, Anyone: d.Anyone.Value}
		b.identity(&c, d, at, keys)
		b.may(&c, d, at)
		b.callerName(&c, d, at, names)
		b.policy.Callers = append(b.policy.Callers, c)
	}
}

// identity reads how the caller is recognised.
func (b *builder) identity(c *Caller, d caller, at string, keys map[string]strictyaml.Pos) {
	key, anyone := d.APIKey.Pos.Line != 0, d.Anyone.Pos.Line != 0
	switch {
	case anyone && !d.Anyone.Value:
		b.refuse(d.Anyone.Pos, at+".anyone", "false", "true: leave the key out instead")
	case key == anyone:
		b.refuse(d.Pos, at, map[bool]string{true: "api_key and anyone", false: "neither api_key nor anyone"}[key], "one of the two")
	case key:
		sum := b.digest(d.APIKey, at+".api_key")
		c.APIKey = &sum
		b.unique(keys, d.APIKey, at+".api_key", "key")
	case anyone:
		b.unique(keys, text{Value: anyoneName, Pos: d.Anyone.Pos}, at+".anyone", "caller")
	}
}

const anyoneName = "anyone"

func (b *builder) callerName(c *Caller, d caller, at string, names map[string]strictyaml.Pos) {
	t := d.Name
	switch {
	case t.Pos.Line == 0 && c.Anyone:
		t = text{Value: anyoneName, Pos: d.Pos}
	case t.Pos.Line == 0 && c.APIKey != nil:
		t = text{Value: "key-" + hex.EncodeToString(c.APIKey[:4]), Pos: d.Pos}
	case t.Pos.Line == 0:
		return
	case !name.MatchString(t.Value):
		b.refuseText(t, at+".name", nameForm)
	case t.Value == anyoneName && !c.Anyone:
		b.refuseText(t, at+".name", "another name for a caller with a key")
	}
	c.Name = t.Value
	b.unique(names, t, at+".name", "name")
}

func (b *builder) may(c *Caller, d caller, at string) {
	first := map[string]strictyaml.Pos{}
	for i, t := range d.May {
		path := fmt.Sprintf("%s.may[%d]", at, i)
		if a := Action(t.Value); a != Query && a != Observe {
			b.refuseText(t, path, fmt.Sprintf("%q or %q", Query, Observe))
		}
		b.unique(first, t, path, "action")
		c.May = append(c.May, Action(t.Value))
	}
	if len(d.Paths) > 0 && !slices.Contains(c.May, Query) {
		b.refuse(d.Paths[0].Pos, at+".paths", "paths", "none, since the caller may not query")
	}
	for i, t := range d.Paths {
		path := fmt.Sprintf("%s.paths[%d]", at, i)
		if why := checkPattern(t.Value); why != "" {
			b.refuseText(t, path, why)
		}
		b.unique(first, t, path, "path")
		c.Paths = append(c.Paths, t.Value)
	}
}

const (
	maxRequest    = 1 << 40
	maxConcurrent = 10000
	minIdle       = time.Second
	maxIdle       = 24 * time.Hour
)

func (b *builder) limits(d *limitsDoc) {
	l := &b.policy.Limits
	*l = Limits{Request: DefaultRequest, Concurrent: DefaultConcurrent, Idle: DefaultIdle}
	if d == nil {
		return
	}
	if d.Request.Pos.Line != 0 {
		size, ok := parseSize(d.Request.Value)
		if !ok {
			b.refuseText(d.Request, "limits.request", "a size such as 512KiB, 1MiB or 2GiB, at most 1024GiB")
		}
		l.Request = size
	}
	if n := d.Concurrent; n.Pos.Line != 0 {
		if n.Value < 1 || n.Value > maxConcurrent {
			b.refuse(n.Pos, "limits.concurrent", strconv.Itoa(n.Value), fmt.Sprintf("1 to %d", maxConcurrent))
		}
		l.Concurrent = n.Value
	}
	if t := d.Idle; t.Pos.Line != 0 {
		if t.Value < minIdle || t.Value > maxIdle {
			b.refuse(t.Pos, "limits.idle", t.Value.String(), fmt.Sprintf("%s to %s", minIdle, maxIdle))
		}
		l.Idle = t.Value
	}
}

var size = regexp.MustCompile(`^([1-9][0-9]{0,12})(B|KiB|MiB|GiB)$`)

// parseSize reads a number of bytes. There are no decimal units: who reads
// "1MB" cannot know which is meant.
func parseSize(s string) (int64, bool) {
	m := size.FindStringSubmatch(s)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	unit := map[string]int64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[m[2]]
	if err != nil || n > math.MaxInt64/unit || n*unit > maxRequest {
		return 0, false
	}
	return n * unit, true
}

func (b *builder) logs(t text) {
	b.policy.Logs = LogsNone
	switch {
	case t.Pos.Line == 0:
	case t.Value == string(LogsNone) || t.Value == string(LogsCounters):
		b.policy.Logs = Logs(t.Value)
	case strings.HasPrefix(t.Value, "sealed:"):
		b.errs.Add(t.Pos, "logs", "this version does not enforce \"sealed\", so it refuses it rather than pretend", "", "")
	default:
		b.refuseText(t, "logs", fmt.Sprintf("%q or %q", LogsNone, LogsCounters))
	}
}

// cutPrefix is strings.CutPrefix with an empty rest if there is no prefix.
func cutPrefix(s, prefix string) (string, bool) {
	if rest, ok := strings.CutPrefix(s, prefix); ok {
		return rest, true
	}
	return "", false
}
