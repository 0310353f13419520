// Boxd is the program inside the box, the only one of ours in a box's image. It
// answers one question: can this machine prove what it runs? If it can, it runs
// what the policy says behind the attested channel; if it cannot, it ends.
//
//	boxd --policy /etc/blindbox/box.yaml --listen :8443
//
// It asks the hardware for evidence (--detect prints what there is; if there are
// several kinds, --platform says which) and has nothing to fall back on: there is no
// simulation in it, and no flag that turns a check off. What it is made of is
// listed in deps.txt, package by package; that list is what a relying party
// trusts besides the hardware.
//
// Exit codes: 0 after a clean stop (SIGTERM, SIGINT), 1 if it was not started
// properly or what it runs failed, 3 if the machine gives no evidence.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/launch"
	"github.com/blindbox/blindbox/box"
	"github.com/blindbox/blindbox/box/callers"
	"github.com/blindbox/blindbox/box/process"
	"github.com/blindbox/blindbox/box/sandbox"
	"github.com/blindbox/blindbox/examples/tumour"
	"github.com/blindbox/blindbox/internal/garbage"
	"github.com/blindbox/blindbox/internal/strictyaml"
	"github.com/blindbox/blindbox/policy"
)

func main() {
	sandbox.Keep(os.Args)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stderr, machine{open: open, detect: detect, reserve: reserve, root: os.Geteuid() == 0}))
}

// machine is what boxd runs on.
type machine struct {
	open   func(platform) (attest.Attester, error)
	detect func(platform) (string, error)
	// reserve keeps the hardware's evidence from the app.
	reserve func() error
	root    bool // boxd may give its app another account
}

// appAccount is what the app runs as: the user and group that own nothing
// (nobody, nogroup). The evidence device is root's from here on.
func (m machine) appAccount(p *policy.Policy) (*process.Account, error) {
	if p.App == nil {
		return nil, nil
	}
	if !m.root {
		return nil, &failure{number: 108, title: "box: the box could not be started", seen: []string{
			"boxd does not run as root, expected root: the app must run as somebody else, who cannot ask the hardware for evidence of its own"}}
	}
	if err := m.reserve(); err != nil {
		return nil, err
	}
	return &process.Account{UID: 65534, GID: 65534}, nil
}

// failure is an error with the number of its page in docs/errors.
type failure struct {
	number int
	title  string
	seen   []string
	fix    string
	ran    bool // the door was open before
}

func (f *failure) Error() string {
	notDone := "no box was started."
	if f.ran {
		notDone = "the box has ended."
	}
	text := fmt.Sprintf("BBX-%d %s\n  seen       %s\n  %s", f.number, f.title, strings.Join(f.seen, "\n             "), notDone)
	if f.fix != "" {
		text += "\n  fix        " + f.fix
	}
	return text
}

func lines(err error) []string { return strings.Split(err.Error(), "\n") }

func (f *failure) exitCode() int {
	if f.number >= 300 {
		return 3
	}
	return 1
}

func usage(format string, args ...any) *failure {
	return &failure{number: 101, title: "usage: the command line cannot be used as it is", seen: []string{fmt.Sprintf(format, args...)}}
}

// explain finds the page for what ended a box: one that is known already, no
// evidence, or anything else.
func explain(err error) *failure {
	var f *failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, launch.ErrOther):
		return &failure{number: 119, title: "box: the box was not launched with the policy that it was given", seen: lines(err),
			fix: "launch with the SHA-256 of the file that boxd gets, or give boxd the file that was launched with"}
	case errors.Is(err, attest.ErrUnavailable):
		return &failure{number: 301, title: "evidence: the box or its evidence could not be had", seen: lines(err)}
	default:
		return &failure{number: 108, title: "box: the box could not be started", seen: []string{err.Error()}}
	}
}

func run(ctx context.Context, args []string, stderr io.Writer, m machine) int {
	// net/http has places where it tells the standard logger what passes, and
	// GODEBUG adds more: http2debug=2 has it print every frame.
	log.SetOutput(io.Discard)
	if err := noCore(); err != nil {
		fmt.Fprintln(stderr, explain(err))
		return explain(err).exitCode()
	}
	err := serve(ctx, args, stderr, m)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintln(stderr, explain(err))
	return explain(err).exitCode()
}

func serve(ctx context.Context, args []string, stderr io.Writer, m machine) error {
	opts, err := parseFlags(args, stderr)
	if err != nil {
		return err
	}
	if opts.detect {
		table, err := m.detect(opts.platform)
		fmt.Fprint(stderr, table)
		return err
	}
	p, err := readPolicy(opts.policy)
	if err != nil {
		return err
	}
	account, err := m.appAccount(p)
	if err != nil {
		return err
	}
	attester, err := m.open(opts.platform)
	if err != nil {
		return err
	}
	if err := bindPolicy(attester, p); err != nil {
		return err
	}
	l, err := net.Listen("tcp", opts.listen)
	if err != nil {
		return &failure{number: 107, title: "listen: cannot listen there", seen: []string{err.Error()}}
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	attester, err = stapled(ctx, attester, opts.endorsements, stderr)
	if err != nil {
		return err
	}
	if p.App == nil {
		defer garbage.Beside(callersModels(p)).Stop()
	}
	b, err := box.New(box.Config{
		Policy: p, Attester: attester, Listener: l, AppAccount: account, Containers: opts.containers(),
		Builtin: map[string][]byte{"tumour": tumour.Model()}, Identity: callers.NewClient(),
		Logs: opts.logs, Audit: opts.audit, Store: opts.store(p),
		Verifier: opts.judge(m.root),
		Log:      func(e box.Event) { fmt.Fprintln(stderr, "boxd:", e) },
	})
	if err != nil {
		return err
	}
	if err := b.Serve(ctx); err != nil {
		return ended(b, err)
	}
	return nil
}

// policyBinder is hardware that takes in nothing of the policy when the box is
// launched, and lets the box add it once, before it serves anybody.
type policyBinder interface {
	BindPolicy(attest.Digest) error
}

// bindPolicy has the hardware add the policy to what it signs, where the host
// did not do it at launch.
func bindPolicy(a attest.Attester, p *policy.Policy) error {
	if b, ok := a.(policyBinder); ok {
		return b.BindPolicy(attest.Digest(p.Digest()))
	}
	return nil
}

// ended says whether the box had served when it ended.
func ended(b *box.Box, err error) error {
	f := explain(err)
	select {
	case <-b.Ready():
		f.ran = true
		if f.number == 108 {
			f.title = "box: the box ended by itself"
		}
	default:
	}
	return f
}

type options struct {
	policy, listen string
	images, run    string // where images are, and where they run
	runsc          string // gVisor
	endorsements   string // where to fetch what is stapled
	logs, audit    string // where the host takes what the policy gives it
	models, state  string // where models lie that callers bring, and their keys
	verifier       string // the program that judges other boxes
	detect         bool
	platform       platform
}

func parseFlags(args []string, stderr io.Writer) (options, error) {
	var o options
	set := flag.NewFlagSet("boxd", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&o.policy, "policy", "", "the box's policy, a `file` (required)")
	set.StringVar(&o.listen, "listen", ":8443", "the TCP `address` to listen on")
	set.StringVar(&o.images, "images", "", "the `folder` of app.image, for oci:PATH and, as sha256-DIGITS, for images of registries (default: that of the policy)")
	set.StringVar(&o.run, "run", "/run/blindbox", "a `folder` in memory for the app's files; what is in it is deleted")
	set.StringVar(&o.runsc, "runsc", "", "gVisor's runsc, a `file`, for isolation: gvisor (default: that of PATH)")
	set.BoolVar(&o.detect, "detect", false, "print what evidence this machine gives, and why not, and end; the exit code is 3 if it gives none")
	set.Var(words{&o.platform.kinds, ","}, "platform", "the `kinds` of evidence to use, with commas, the processor's first (default: the only one there is)")
	set.Var(words{&o.platform.gpuHelper, " "}, "gpu-helper", "the `command` that prints the evidence of NVIDIA GPUs")
	set.Var(words{&o.platform.switchHelper, " "}, "nvswitch-helper", "the `command` that prints the evidence of NVSwitches")
	set.StringVar(&o.endorsements, "endorsements-from", "", "staple what the vendors sign: \"vendors\", or the `URL` of a mirror; fetched in the background (default: only what the host hands out)")
	set.StringVar(&o.verifier, "verifier", "", "the `program` that judges the evidence of other boxes, if the policy has such callers (default: boxverify, beside boxd)")
	set.StringVar(&o.logs, "logs", "", "a `folder` of the host for sealed logs; the policy says whether there are any")
	set.StringVar(&o.audit, "audit", "", "a `folder` of the host for the audit log, where the policy gives it to the host; the log of the runs before goes on")
	set.StringVar(&o.models, "store", "", "a `folder` of the host for sealed models of callers; the policy's store says whether it has a disk")
	set.StringVar(&o.state, "state", "/run/blindbox-store", "a `folder` in memory for the keys of models in --store; it stays when boxd ends")
	switch err := set.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		set.SetOutput(stderr)
		fmt.Fprintln(stderr, "usage: boxd --policy FILE [--listen ADDRESS] [--platform KINDS]\n       boxd --detect\n\nboxd runs inside a box and needs its hardware; elsewhere there is `blindbox dev`.")
		set.PrintDefaults()
		return options{}, err
	case err != nil:
		return options{}, usage("%v", err)
	case set.NArg() > 0:
		return options{}, usage("argument %q, expected none", set.Arg(0))
	case o.policy == "" && !o.detect:
		return options{}, usage("no --policy FILE")
	}
	return o, nil
}

// store is where models lie that callers bring.
func (o *options) store(p *policy.Policy) box.Store {
	s := box.Store{Folder: o.models}
	if p.Store != nil && p.Store.Disk > 0 {
		s.State = o.state
	}
	return s
}

// containers is where an app from an image runs. Nothing of it is looked at
// unless the policy has one.
func (o *options) containers() *box.Containers {
	c := &box.Containers{Images: o.images, Dir: o.run, GVisor: o.runsc}
	if c.Images == "" {
		c.Images = filepath.Dir(o.policy)
	}
	if program, err := exec.LookPath("runc"); err == nil {
		c.Runtime = program
	}
	if program, err := exec.LookPath("runsc"); err == nil && c.GVisor == "" {
		c.GVisor = program
	}
	return c
}

// callersModels is how much memory the models of callers may take, in bytes.
func callersModels(p *policy.Policy) int64 {
	if p.Store == nil {
		return 0
	}
	return p.Store.Memory
}

func readPolicy(file string) (*policy.Policy, error) {
	doc, err := readBounded(file, policy.MaxSize)
	if err != nil {
		return nil, &failure{number: 105, title: "file: a file could not be read or written", seen: []string{err.Error()}}
	}
	p, err := policy.Parse(doc)
	if err == nil {
		return p, nil
	}
	f := &failure{number: 104, title: "policy: the policy file is not valid"}
	var all strictyaml.Errors
	if !errors.As(err, &all) {
		all = nil
		f.seen = []string{file + ": " + err.Error()}
	}
	for _, one := range all {
		f.seen = append(f.seen, file+":"+one.Error())
	}
	return nil, f
}

// readBounded reads a file that may be one byte longer than limit, so that it
// is known to be too long. Opening a pipe would wait for somebody to write to it,
// and what stands in a device or a pipe nobody can hash beside the box.
func readBounded(file string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file: %w", file, errors.Join(err, os.ErrInvalid))
	}
	return io.ReadAll(io.LimitReader(f, limit+1))
}
