package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/attest/sim"
	"github.com/blindbox/blindbox/box"
	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/internal/connect"
	"github.com/blindbox/blindbox/policy"
)

type devOptions struct {
	file      string
	listen    string
	port      int
	appListen string
	anyone    bool
	env       []string
	trustOut  string
	logs      string
	audit     string
	store     string
	fault     string
}

func newDev(s *session) *cobra.Command {
	var o devOptions
	cmd := &cobra.Command{
		Use:   "dev [-f box.yaml] | dev [flags] -- COMMAND...",
		Short: "Start a simulated box on this machine",
		Long: `Start a SIMULATED box on this machine: from a box.yaml, or around a command that
listens for HTTP on --port. It behaves as a real box does and is protected by
nothing. Without -f and without a command, box.yaml in this directory is used.

With --fault something is wrong with the box, so that you can watch a client
refuse it: --fault list prints what there is. The trust file is that of the box
without the fault.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.fault == faultList && len(args) == 0 {
				return s.listFaults()
			}
			if _, err := findFault(o.fault); err != nil {
				return err
			}
			if err := o.check(cmd, args); err != nil {
				return err
			}
			return s.dev(cmd.Context(), o, args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.logs, "logs", "", "folder for sealed logs, if the policy has them")
	f.StringVar(&o.audit, "audit", "", "folder for the audit log, if the policy has audit: host")
	f.StringVar(&o.store, "store", "", "folder for sealed models of callers, if the policy's store has a disk (default: one that goes with the box)")
	f.StringVarP(&o.file, "file", "f", "", "policy of the box (default box.yaml)")
	f.StringVar(&o.listen, "listen", "127.0.0.1:8443", "loopback address of the box")
	f.IntVar(&o.port, "port", 8000, "port on which the command listens")
	f.StringVar(&o.appListen, "app-listen", "", "where the command listens, if not on --port: 127.0.0.1:PORT or unix:/PATH")
	f.BoolVar(&o.anyone, "anyone", false, "let anyone on this machine call, without an API key")
	f.StringArrayVar(&o.env, "env", nil, "NAME=VALUE for the command's environment; it is part of the policy that clients see")
	f.StringVar(&o.trustOut, "trust-out", "", "where to write the trust file (default: beside the simulated root); one that dev wrote is replaced")
	f.StringVar(&o.fault, "fault", "", "what is wrong with the box, or list")
	return cmd
}

func (o *devOptions) check(cmd *cobra.Command, args []string) error {
	wrapping := []string{"port", "app-listen", "anyone", "env"}
	switch {
	case len(args) > 0 && cmd.ArgsLenAtDash() != 0:
		return usage("put -- before the command: blindbox dev -- %s", strings.Join(args, " "))
	case len(args) > 0 && o.file != "":
		return usage("give -f FILE or a command, not both")
	case o.port < 1 || o.port > 65535:
		return usage("--port %d, expected 1 to 65535", o.port)
	}
	for _, name := range wrapping {
		if len(args) == 0 && cmd.Flags().Changed(name) {
			return usage("--%s is for a command after --; with a policy file the file decides", name)
		}
	}
	for _, kv := range o.env {
		if name, _, ok := strings.Cut(kv, "="); !ok || name == "" {
			return usage("--env %q, expected NAME=VALUE", kv)
		}
	}
	if len(args) == 0 && o.file == "" {
		o.file = "box.yaml"
		if _, err := os.Stat(o.file); errors.Is(err, os.ErrNotExist) {
			return usage("nothing to run: no command after --, no -f FILE and no ./box.yaml")
		}
	}
	return nil
}

// devPolicy returns the policy of the box and the file that holds the API key
// for it, "" if there is none or it is not ours to know.
func (s *session) devPolicy(dir string, o devOptions, command []string) (*policy.Policy, string, error) {
	if o.file != "" {
		p, err := s.readPolicy(o.file)
		return p, "", err
	}
	w := wrapping{command: command, listen: o.appListen, env: o.env}
	if w.listen == "" {
		w.listen = fmt.Sprintf("127.0.0.1:%d", o.port)
	}
	if !strings.HasPrefix(w.listen, "unix:") {
		if err := mustBeFree(w.listen); err != nil {
			return nil, "", err
		}
	}
	for _, name := range []string{"PATH", "HOME"} {
		if v := s.env(name); v != "" {
			w.env = append(w.env, name+"="+v)
		}
	}
	keyFile := ""
	if !o.anyone {
		var err error
		if w.key, keyFile, err = developerKey(dir); err != nil {
			return nil, "", fail(catalogue.CodeSimRoot, "api key", err.Error(), "")
		}
	}
	doc, err := w.document()
	if err != nil {
		return nil, "", err
	}
	p, err := policy.Parse(doc)
	if err != nil {
		return nil, "", badDocument(catalogue.CodeBadPolicy, "policy", "generated box.yaml", err)
	}
	return p, keyFile, nil
}

// mustBeFree refuses a port that some other program has: the box would take
// that program for the app and forward requests to it.
func mustBeFree(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return notStarted(err, "a port that the command itself can listen on: --port")
	}
	return ln.Close()
}

// devPlan is what a box is started with: all that is known before anything runs.
type devPlan struct {
	fault   fault
	root    *sim.Root
	policy  *policy.Policy
	keyFile string // with the API key for it; "": none
	trust   string // where the trust file is written
}

func (s *session) planDev(o devOptions, command []string) (p devPlan, err error) {
	if p.fault, err = findFault(o.fault); err != nil {
		return p, err
	}
	dir, err := s.simDir()
	if err != nil {
		return p, err
	}
	if p.root, err = s.simRoot(dir); err != nil {
		return p, err
	}
	if p.policy, p.keyFile, err = s.devPolicy(dir, o, command); err != nil {
		return p, err
	}
	if o.trustOut == "" {
		p.trust = filepath.Join(dir, p.policy.Name+".trust.yaml")
		return p, nil
	}
	p.trust = o.trustOut
	return p, mayReplace(o.trustOut)
}

func (s *session) dev(ctx context.Context, o devOptions, command []string) error {
	p, err := s.planDev(o, command)
	if err != nil {
		return err
	}
	if isContained(p.policy) && os.Geteuid() != 0 {
		return s.asRootOfNamespace(ctx)
	}
	container, remove, err := s.contain(p.policy, o.file, os.Geteuid())
	if err != nil {
		return err
	}
	defer remove()
	ln, err := connect.Listen(ctx, o.listen)
	if err != nil {
		return fail(catalogue.CodeListen, "listen", strings.TrimPrefix(err.Error(), "connect: "), "a free port on 127.0.0.1 or [::1]")
	}
	d, front, err := s.startDev(ctx, p, ln, surroundings{output: s.stderr, log: s.devEvent, logs: o.logs, audit: o.audit, store: o.store, container: container})
	if err != nil {
		if ctx.Err() != nil {
			return nil // Ctrl-C while it started
		}
		return err
	}
	defer front.close()
	// Ours to overwrite: it describes the box that runs now.
	if err := s.writeFile(p.trust, d.trustFile(), 0o644, true); err != nil {
		_ = d.close()
		return err
	}
	s.showDev(d, p.fault, append(simulatedPlatforms(p.policy), container.less()...), p.trust, p.keyFile)
	return s.untilEnded(ctx, d)
}

// startDev starts the box, and says meanwhile what it waits for.
func (s *session) startDev(ctx context.Context, p devPlan, ln net.Listener, at surroundings) (*devBox, front, error) {
	if s.terminal() {
		s.note("starting a simulated box ...\n")
	}
	if p.fault.closed {
		s.note("FAULT        %s: %s\n  expect     %s %s\n", p.fault.name, p.fault.about, p.fault.entry().ID(), p.fault.entry().Title)
	}
	if p.policy.App != nil {
		patience := time.AfterFunc(3*time.Second, func() {
			s.note("waiting for the app to listen on %s; Ctrl-C gives up\n", oneLine(p.policy.App.Listen))
		})
		defer patience.Stop()
	}
	return startBehind(ctx, p.root, p.policy, ln, p.fault, at)
}

// untilEnded waits for Ctrl-C, or for the box to end by itself.
func (s *session) untilEnded(ctx context.Context, d *devBox) error {
	select {
	case <-ctx.Done():
	case <-d.ended:
	}
	if err := d.close(); err != nil {
		return fail(catalogue.CodeApp, "box", err.Error(), "")
	}
	s.printf("stopped\n")
	return nil
}

// mayReplace refuses a file that is there and was not written by dev: it may be
// somebody's only copy of what they accept.
func mayReplace(name string) error {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fail(catalogue.CodeFile, "file", err.Error(), "")
	}
	defer f.Close()
	head := make([]byte, len(trustFileHead))
	if _, err := io.ReadFull(f, head); err != nil || string(head) != trustFileHead {
		return fail(catalogue.CodeFile, "file", name+" exists already and was not written by blindbox dev", "another name after --trust-out")
	}
	return nil
}

// devEvent tells of the app's life. The rest is told by the verdict.
func (s *session) devEvent(e box.Event) {
	if e.Name == box.AppExited || e.Name == box.AppNote || e.Name == box.Peering {
		s.note("%s\n", oneLine(e.String()))
	}
}

func (s *session) showDev(d *devBox, f fault, notEnforced []string, trust, keyFile string) {
	url := "https://" + d.addr
	line := []string{"blindbox", "connect", "--trust", shellWord(trust)}
	if keyFile != "" {
		line = append(line, "--api-key-file", shellWord(keyFile))
	}
	connectLine := strings.Join(append(line, url), " ")
	digest := d.policy.Digest()
	if s.json() {
		s.writeJSON(map[string]any{
			"simulated": true, "url": url, "policy": fmt.Sprintf("sha256:%x", digest), "measurement": fmt.Sprintf("%x", d.measurement),
			"trust": trust, "api_key_file": keyFile, "connect": connectLine, "pid": os.Getpid(), "fault": f.document(), "not_enforced": notEnforced,
		})
		return
	}
	s.printf("SIMULATED    no hardware protects this box: for development only\n")
	for _, line := range notEnforced {
		s.printf("NOT ENFORCED %s\n", oneLine(line))
	}
	if f.name != "" {
		s.printf("FAULT        %s: %s\n  expect     %s %s\n", f.name, f.about, f.entry().ID(), f.entry().Title)
	}
	s.printf("  box        %s\n  policy     %s\n  digest     sha256:%x\n  trust      %s\n", url, d.policy.Summary(), digest, trust)
	if keyFile != "" {
		s.printf("  api key    in %s\n", keyFile)
	}
	s.printf("  next       %s\n", connectLine)
}

// shellWord quotes a path for the line that people copy.
func shellWord(s string) string {
	if strings.IndexFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@\\", r)
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
