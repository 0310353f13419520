package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/box"
	"github.com/blindbox/blindbox/box/sandbox"
	"github.com/blindbox/blindbox/client"
	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/internal/connect"
	"github.com/blindbox/blindbox/policy"
	"github.com/blindbox/blindbox/policy/learn"
)

type learnOptions struct {
	out    string
	force  bool
	as     string
	egress []string
	many   int
	listen string
	local  string

	reach func(*box.Containers) // how a test's destinations are reached; nil means as ever
}

func newPolicyLearn(s *session) *cobra.Command {
	var o learnOptions
	cmd := &cobra.Command{
		Use:   "learn FILE --out LEARNED [flags] [-- COMMAND...]",
		Short: "Watch what an app does in a simulated box, and propose the smallest policy for it",
		Long: `Start a SIMULATED box as blindbox dev does, with nothing in its policy that bounds
callers, files or memory; run COMMAND, which tests the app, or wait for Ctrl-C;
then write the smallest policy under which the same would happen again, with what
was seen beside each line. Read every line before you rely on it.

COMMAND finds the app at $BLINDBOX_URL, a plain address on this machine: whatever
comes through it is the caller that --as names. Others come through the box's own
door, $BLINDBOX_BOX, with their own keys.

Of a request its method, path, model and sizes are kept; no header, no query, no
body. An app from an image is watched whole: where it tries to connect to, what it
writes, how much memory, processes and files it takes. It still reaches only what
FILE allows and --allow-egress names: everything else is refused and recorded. It
may write anywhere in its own files. Of an app that is a command without an image
only the requests are seen.`,
		Example: "  blindbox policy learn box.yaml --out learned.yaml -- ./test.sh\n  blindbox policy learn box.yaml --out learned.yaml --allow-egress api.example.com:443 -- pytest",
		Args: func(cmd *cobra.Command, args []string) error {
			n := len(args)
			if dash := cmd.ArgsLenAtDash(); dash >= 0 {
				n = dash
			}
			if n != 1 {
				return exactly(1, "one FILE, and the command behind --")(cmd, args[:n])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.policyLearn(cmd.Context(), args[0], o, args[1:])
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.out, "out", "", "file for the policy that was learned (required)")
	f.BoolVar(&o.force, "force", false, "replace the file if it is there")
	f.StringVar(&o.as, "as", "", "the caller whose requests come through $BLINDBOX_URL (default: the only one)")
	f.StringArrayVar(&o.egress, "allow-egress", nil, "HOST:PORT that the app may reach in this run besides what FILE allows")
	f.IntVar(&o.many, "star", learn.DefaultMany, "how many different ends of a path make it a star")
	f.StringVar(&o.listen, "listen", "127.0.0.1:0", "loopback address of the box")
	f.StringVar(&o.local, "local", "127.0.0.1:0", "loopback address of the plain door")
	return cmd
}

// lesson is one run that is learned from.
type lesson struct {
	s        *session
	o        learnOptions
	base     *policy.Policy
	opened   *policy.Policy
	key      string
	recorder *learn.Recorder
	problems []string // of watching
	usage    atomic.Pointer[func() (sandbox.Usage, error)]
}

func (s *session) policyLearn(ctx context.Context, file string, o learnOptions, command []string) error {
	l, err := s.newLesson(file, o)
	if err != nil {
		return err
	}
	if isContained(l.base) && os.Geteuid() != 0 {
		return s.asRootOfNamespace(ctx)
	}
	if err := l.run(ctx, file, command); err != nil {
		return err
	}
	return l.conclude()
}

// newLesson reads everything before anything is started.
func (s *session) newLesson(file string, o learnOptions) (*lesson, error) {
	if o.out == "" {
		return nil, usage("no --out FILE for the policy that is learned")
	}
	if o.many < 2 {
		return nil, usage("--star %d, expected 2 or more", o.many)
	}
	if _, err := os.Lstat(o.out); err == nil && !o.force {
		return nil, fail(catalogue.CodeFile, "file", o.out+" exists already", "a new name, or --force")
	}
	p, err := s.readPolicy(file)
	if err != nil {
		return nil, err
	}
	if len(p.Services) > 0 {
		return nil, fail(catalogue.CodeBadPolicy, "policy", fmt.Sprintf("line %d: services: what several programs do cannot be told apart yet", p.Services[0].Line), "a policy with an app alone")
	}
	if o.as, err = learnAs(p, o.as); err != nil {
		return nil, err
	}
	l := &lesson{s: s, o: o, base: p, key: rand.Text() + rand.Text()}
	if c, ok := p.Anyone(); ok && c.Name == o.as {
		l.key = "" // whoever shows one is somebody else, or nobody
	}
	confined := isContained(p)
	opening := learn.Opening{As: o.as, KeyHash: sha256.Sum256([]byte(l.key)), Memory: 4 << 30, Confined: confined}
	if opening.Allow, err = parseDestinations(o.egress, confined); err != nil {
		return nil, err
	}
	if l.opened, err = learn.Open(p, opening); err != nil {
		return nil, fail(catalogue.CodeBadPolicy, "policy", err.Error(), "")
	}
	l.recorder = learn.NewRecorder(confined)
	return l, nil
}

// learnAs returns the caller that the plain door stands for.
func learnAs(p *policy.Policy, as string) (string, error) {
	var names []string
	for _, c := range p.Callers {
		names = append(names, c.Name)
	}
	switch {
	case len(names) == 0:
		return "", fail(catalogue.CodeBadPolicy, "policy", "the policy has no callers: nobody could be seen", "a line in callers")
	case as == "" && len(names) == 1:
		return names[0], nil
	case as == "":
		return "", usage("--as says which caller the requests are of: %s", strings.Join(names, ", "))
	case !slices.Contains(names, as):
		return "", usage("--as %q, expected %s", as, strings.Join(names, ", "))
	}
	return as, nil
}

func parseDestinations(flags []string, confined bool) ([]policy.Destination, error) {
	if len(flags) > 0 && !confined {
		return nil, usage("--allow-egress is for an app from an image: any other is not held back")
	}
	var out []policy.Destination
	for _, f := range flags {
		host, text, err := net.SplitHostPort(f)
		port, portErr := strconv.ParseUint(text, 10, 16)
		if err != nil || portErr != nil || port == 0 || host == "" {
			return nil, usage("--allow-egress %q, expected HOST:PORT", f)
		}
		d := policy.Destination{Host: host, Port: uint16(port)}
		if ip := net.ParseIP(host); ip != nil {
			d.Private = ip.IsPrivate()
		}
		out = append(out, d)
	}
	return out, nil
}

// run starts the box and the plain door, and returns when the command has ended, or
// ctx.
func (l *lesson) run(ctx context.Context, file string, command []string) error {
	s := l.s
	dir, err := s.simDir()
	if err != nil {
		return err
	}
	root, err := s.simRoot(dir)
	if err != nil {
		return err
	}
	container, remove, err := s.contain(l.opened, file, os.Geteuid())
	if err != nil {
		return err
	}
	defer remove()
	if container != nil {
		container.Refused = nil // it is recorded
		container.Learning = l.learning()
		if l.o.reach != nil {
			l.o.reach(&container.Containers)
		}
	}
	ln, err := connect.Listen(ctx, l.o.listen)
	if err != nil {
		return fail(catalogue.CodeListen, "listen", strings.TrimPrefix(err.Error(), "connect: "), "a free port on 127.0.0.1 or [::1]")
	}
	s.note("SIMULATED    starting a box to learn from; nothing in its policy bounds callers, files or memory\n")
	d, err := startBox(ctx, root, l.opened, ln, surroundings{output: s.stderr, log: s.devEvent, container: container, around: l.around, decided: l.decided})
	if err != nil {
		return err
	}
	trust := filepath.Join(dir, l.opened.Name+".learn.trust.yaml")
	err = s.writeFile(trust, d.trustFile(), 0o644, true)
	if err == nil {
		err = l.serve(ctx, d, trust, container.less(), command)
	}
	return errors.Join(err, d.close())
}

// serve opens the plain door and has the app tested through it.
func (l *lesson) serve(ctx context.Context, d *devBox, trustFile string, notEnforced []string, command []string) error {
	trust, err := appraise.ParseTrust(d.trustFile())
	if err != nil {
		return err
	}
	c, err := client.New(trust, client.WithClock(l.s.now))
	if err != nil {
		return err
	}
	defer c.Close()
	door, err := connect.Listen(ctx, l.o.local)
	if err != nil {
		return fail(catalogue.CodeListen, "listen", strings.TrimPrefix(err.Error(), "connect: "), "a free port on 127.0.0.1 or [::1]")
	}
	target := &url.URL{Scheme: "https", Host: d.addr}
	h, err := connect.New(connect.Config{Target: target, Transport: c, APIKey: l.key, Explain: explainToClient})
	if err != nil {
		door.Close()
		return err
	}
	local := "http://" + door.Addr().String()
	for _, line := range notEnforced {
		l.s.note("NOT ENFORCED %s\n", oneLine(line))
	}
	l.s.note("LEARNING     as %s at %s\n  box        %s\n  trust      %s\n", oneLine(l.o.as), local, target, trustFile)
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- connect.Serve(serving, door, h) }()
	l.test(ctx, d, command, []string{"BLINDBOX_URL=" + local, "BLINDBOX_BOX=" + target.String(), "BLINDBOX_TRUST=" + trustFile})
	l.sample() // what was used is counted as long as the app runs
	stop()
	return <-served
}

// test runs the command, or waits for Ctrl-C.
func (l *lesson) test(ctx context.Context, d *devBox, command, env []string) {
	if len(command) == 0 {
		l.s.note("  Ctrl-C ends it and writes the policy\n")
		select {
		case <-ctx.Done():
		case <-d.ended:
		}
		return
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = l.s.stdin, l.s.stderr, l.s.stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		l.problems = append(l.problems, fmt.Sprintf("the command failed (%v): what was seen is not all that it does", err))
	}
}

// conclude writes what was learned, and says how it differs.
func (l *lesson) conclude() error {
	seen := l.recorder.Seen()
	if len(seen.Requests) == 0 {
		return fail(catalogue.CodeApp, "learn", "no request reached the app; nothing was written", "a command that sends requests to $BLINDBOX_URL")
	}
	proposal, err := learn.Propose(l.base, seen, l.o.many)
	if err != nil {
		return fail(catalogue.CodeBadPolicy, "policy", err.Error(), "")
	}
	if err := l.s.writeFile(l.o.out, proposal.Policy.Bytes(), 0o644, l.o.force); err != nil {
		return err
	}
	count := 0
	for _, r := range seen.Requests {
		count += r.Count
	}
	notes := append(l.problems, proposal.Notes...)
	diff := policy.Diff(l.base, proposal.Policy)
	if l.s.json() {
		digest := proposal.Policy.Digest()
		l.s.writeJSON(map[string]any{
			"simulated": true, "file": l.o.out, "digest": fmt.Sprintf("sha256:%x", digest), "requests": count, "notes": append([]string{}, notes...),
			"widened": diff.Widened(), "narrowed": diff.Narrowed(), "changes": changesOf(diff),
		})
		return nil
	}
	l.s.printf("LEARNED      %s from %d requests, in a simulated box\n", l.o.out, count)
	for _, n := range notes {
		l.s.printf("  look       %s\n", oneLine(n))
	}
	l.s.printf("against the policy as it was:\n")
	l.s.printDiff(diff, false)
	return nil
}
