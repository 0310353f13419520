package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/launch"
	"github.com/blindbox/blindbox/attest/sim"
	"github.com/blindbox/blindbox/box"
	"github.com/blindbox/blindbox/box/callers"
	"github.com/blindbox/blindbox/box/ingress"
	"github.com/blindbox/blindbox/examples/tumour"
	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/policy"
)

// devBox is a simulated box that runs in this process.
type devBox struct {
	// What the trust file accepts: what runs, unless the box is to be refused.
	policy      *policy.Policy
	measurement [48]byte
	root        attest.Digest

	addr  string
	box   *box.Box
	stop  context.CancelFunc
	ended chan struct{} // closed when the box has ended, with err
	err   error
}

// simDir is where the simulated root and the developer's key are kept.
func (s *session) simDir() (string, error) {
	home, err := s.home()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, "sim"), nil
}

// simRoot returns this machine's simulated root, made at the first use.
func (s *session) simRoot(dir string) (*sim.Root, error) {
	root, err := sim.LoadOrCreateRoot(dir, s.now())
	if err != nil {
		return nil, fail(catalogue.CodeSimRoot, "sim", err.Error(), "a directory that can be written")
	}
	return root, nil
}

// simMeasurement stands for the launch measurement. It is over the program that
// runs, so that another build is another measurement.
func simMeasurement() ([48]byte, error) {
	name, err := os.Executable()
	if err != nil {
		return [48]byte{}, err
	}
	f, err := os.Open(name)
	if err != nil {
		return [48]byte{}, err
	}
	defer f.Close()
	program := sha256.New()
	if _, err := io.Copy(program, f); err != nil {
		return [48]byte{}, err
	}
	return sim.Measure(program.Sum(nil)), nil
}

// surroundings is what a simulated box gets of this machine.
type surroundings struct {
	output    io.Writer // gets what the app prints
	log       func(box.Event)
	container *devContainer // nil if the app is no image
	logs      string        // folder for sealed logs
	audit     string        // folder for the audit log
	store     string        // folder for sealed models; "": one that goes with the box
	// For learning a policy; nil as a rule.
	around  func(http.Handler) http.Handler
	decided func(ingress.Decision)
}

// notStarted says why there is no box, with what to do about that case.
func notStarted(err error, expected string) *refusal {
	text := strings.TrimPrefix(err.Error(), "box: ")
	rest, ofApp := strings.CutPrefix(text, "process: ")
	r := fail(catalogue.CodeApp, "box", rest, expected)
	var noProgram *exec.Error
	var noModel *box.ModelError
	switch {
	case errors.As(err, &noProgram):
		r.entry.Fix = "Name a program that is there, by its whole path if it is in no folder of PATH."
	case errors.As(err, &noModel):
		r.entry.Fix = "Compare the model's path and sha256 with box.yaml: `blindbox model show FILE` prints the digest, and whether a box can run the file."
	case strings.Contains(text, "folder for models") || strings.Contains(text, "no folder for it"):
		r.entry.Fix = "A folder for models (`--store FOLDER`) goes with `store: {disk: SIZE}` in box.yaml: give both or neither."
	case strings.Contains(text, "address already in use") || strings.Contains(text, "something listens at"):
		r.entry.Fix = "End what listens there, or choose another port with `--port`."
	case ofApp:
		r.entry.Fix = "Run the command by itself and look at its output; `--port`, or app.listen in box.yaml, must be where it listens."
	}
	return r
}

// startBox starts a simulated box on ln and returns when its door is open. It
// always takes ln over.
func startBox(ctx context.Context, root *sim.Root, p *policy.Policy, ln net.Listener, at surroundings) (*devBox, error) {
	return startFaulty(ctx, root, p, ln, fault{}, at)
}

// startFaulty starts a box with that fault; the zero fault is none.
func startFaulty(ctx context.Context, root *sim.Root, p *policy.Policy, ln net.Listener, f fault, at surroundings) (*devBox, error) {
	d := &devBox{policy: p, root: root.Fingerprint(), addr: ln.Addr().String(), ended: make(chan struct{})}
	failed := func(err error) (*devBox, error) {
		ln.Close()
		if errors.Is(err, launch.ErrOther) {
			return nil, fail(catalogue.CodeLaunched, "box", err.Error(), "")
		}
		return nil, notStarted(err, "")
	}
	var err error
	if d.measurement, err = simMeasurement(); err != nil {
		return failed(err)
	}
	runs := sim.Box{Measurement: d.measurement, HostData: p.Digest()}
	if root, p, err = f.install(root, p, &runs); err != nil {
		return failed(err)
	}
	attester, err := root.NewAttester(runs, time.Now)
	if err != nil {
		return failed(err)
	}
	cfg := box.Config{
		Policy: p, Attester: attester, Simulation: true, Listener: ln, Builtin: map[string][]byte{"tumour": tumour.Model()}, Identity: callers.NewClient(),
		Log: at.log, AppOutput: at.output, Logs: at.logs, Audit: at.audit, Verifier: devVerifier(), Around: at.around, Decided: at.decided,
	}
	removeStore, err := devStore(p, &cfg, at.store)
	if err != nil {
		return failed(err)
	}
	if at.container != nil {
		cfg.Containers = &at.container.Containers
	}
	d.box, err = box.New(cfg)
	if err != nil {
		removeStore()
		return failed(err)
	}
	ctx, d.stop = context.WithCancel(ctx)
	go func() {
		d.err = d.box.Serve(ctx)
		removeStore()
		close(d.ended)
	}()
	select {
	case <-d.box.Ready():
		return d, nil
	case <-d.ended:
		d.stop()
		if d.err == nil {
			d.err = errors.New("stopped before it was ready")
		}
		return failed(d.err)
	}
}

// devStore makes room for sealed models where the policy has it, in folder or else in one
// that goes with the box. Their keys always do.
func devStore(p *policy.Policy, cfg *box.Config, folder string) (remove func(), err error) {
	if p.Store == nil || p.Store.Disk == 0 {
		cfg.Store.Folder = folder // which the box refuses
		return func() {}, nil
	}
	dir, err := os.MkdirTemp("", "blindbox-dev-store-")
	if err != nil {
		return nil, err
	}
	if folder == "" {
		folder = filepath.Join(dir, "models")
	}
	cfg.Store = box.Store{Folder: folder, State: filepath.Join(dir, "state")}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return func() { _ = os.RemoveAll(dir) }, nil // the next box makes another one
}

// simulatedPlatforms is what the policy says of hardware in vain: the file that is
// measured stays as it is, and is tried here all the same. Never nil.
func simulatedPlatforms(p *policy.Policy) []string {
	if len(p.Platforms) == 0 || slices.Contains(p.Platforms, attest.SimSNP.String()) {
		return []string{}
	}
	return []string{fmt.Sprintf("platforms %s (line %d): this is simulated hardware", strings.Join(p.Platforms, ", "), p.Line("platforms"))}
}

// close stops the box and waits for it. It may be called again.
func (d *devBox) close() error {
	d.stop()
	<-d.ended
	return d.err
}

// trustFileHead begins the trust files that dev writes, and may replace.
const trustFileHead = "# SIMULATED: accepts one box on this machine, which no hardware protects. For development only.\n"

// trustFile accepts this box and nothing else.
func (d *devBox) trustFile() []byte {
	digest := d.policy.Digest()
	return fmt.Appendf(nil, trustFileHead+`version: 1
accept:
  - name: %s (simulated)
    sev-snp: {measurement: %s}
    policy: sha256:%s
allow_simulated: true
simulated_root: sha256:%s
`, d.policy.Name, hex.EncodeToString(d.measurement[:]), hex.EncodeToString(digest[:]), d.root)
}
