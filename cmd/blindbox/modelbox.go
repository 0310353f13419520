package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/client"
	"github.com/blindbox/blindbox/client/models"
	"github.com/blindbox/blindbox/internal/batches"
	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/internal/sizes"
	"github.com/blindbox/blindbox/model/bundle"
	"github.com/blindbox/blindbox/model/foreign"
)

// boxVariable names the box for the commands about models.
const boxVariable = "BLINDBOX_BOX"

// boxFlags say which box, and who asks it.
type boxFlags struct {
	box, trust, keyFile string
	cert                certFlags
	timeout             time.Duration
	receipt             string // a file; "": none is asked for
	force               bool   // write over it
}

func addBoxFlags(cmd *cobra.Command, o *boxFlags) {
	addTrustFlag(cmd, &o.trust)
	addKeyFlag(cmd, &o.keyFile)
	addCertFlags(cmd, &o.cert)
	f := cmd.Flags()
	f.StringVar(&o.box, "box", "", "the box, https://HOST[:PORT] (default: "+boxVariable+")")
	f.DurationVar(&o.timeout, "timeout", client.DefaultTimeout, "how long to wait for a verdict")
}

// withBox verifies nothing yet: the first request does, and sends nothing before.
func (s *session) withBox(o boxFlags, do func(*models.Client) error) error {
	var once sync.Once
	var verified atomic.Bool
	began := time.Now()
	asks, done, err := s.boxClient(&o, func(v client.Verification) {
		if v.Result.Err() == nil {
			once.Do(func() {
				s.note("%s\n", verdictOf(v.Result).conclusion(time.Since(began)))
				verified.Store(true)
			})
		}
	})
	if err != nil {
		return err
	}
	defer done()
	if o.receipt == "" {
		err = do(asks)
	} else {
		r := &receipted{RoundTripper: asks.HTTP, file: o.receipt, force: o.force}
		err = r.save(s, do(&models.Client{Base: asks.Base, HTTP: r, Key: asks.Key}))
	}
	var more *advised
	advice := errors.As(err, &more)
	err = modelRefusal(err, verified.Load())
	var told *refusal
	if errors.As(err, &told) && told.status == http.StatusNotFound && !advice {
		told.entry.Fix = otherModels(asks, told.seen)
	}
	return err
}

// boxClient makes a client of what flags and environment say. see hears of each
// verification. done ends the client.
func (s *session) boxClient(o *boxFlags, see func(client.Verification)) (asks *models.Client, done func(), err error) {
	if o.box == "" {
		o.box = s.env(boxVariable)
	}
	if o.box == "" {
		return nil, nil, usage("which box? give --box https://HOST[:PORT], or set %s", boxVariable)
	}
	if err := s.unwritten(o.force, receiptFiles(o.receipt)...); err != nil {
		return nil, nil, err
	}
	u, err := boxURL(o.box)
	if err != nil {
		return nil, nil, err
	}
	trust, err := s.loadTrust(o.trust, false)
	if err != nil {
		return nil, nil, err
	}
	key, err := s.apiKey(o.keyFile)
	if err != nil {
		return nil, nil, err
	}
	opts, floored, err := s.withFloors(client.WithTimeout(o.timeout), client.WithClock(s.now), client.WithOnResult(see))
	if err != nil {
		return nil, nil, err
	}
	if opts, err = s.withCertificate(o.cert, opts); err != nil {
		floored()
		return nil, nil, err
	}
	c, err := client.New(trust, opts...)
	if err != nil {
		floored()
		return nil, nil, usage("%v", err)
	}
	return &models.Client{Base: u, HTTP: c, Key: key}, func() { c.Close(); floored() }, nil
}

// modelRefusal tells what the box refused from what kept the request from it. What ended
// after the box was verified may have reached it.
func modelRefusal(err error, verified bool) error {
	var said *models.Error
	var told *refusal
	var other *foreign.Error
	switch {
	case err == nil, errors.As(err, &told):
		return err
	case errors.As(err, &other):
		return notAModel(other)
	case errors.As(err, &said):
		r := boxRefusal(said)
		var more *advised
		if errors.As(err, &more) {
			r.entry.Fix = more.fix
		}
		return r
	}
	r := requestRefusal(err)
	if verified && r.reason == catalogue.CodeInterrupted {
		r.entry.NotDone = "There is no answer. The request, or a part of it, may have reached the box, which was verified. A part of an upload is deleted there, after ten minutes at the latest."
	}
	return r
}

// boxRefusal is what the box said, and what to do about it.
func boxRefusal(said *models.Error) *refusal {
	r := fail(catalogue.CodeModelRefused, "model", fmt.Sprintf("%d %s: %s", said.Status, http.StatusText(said.Status), oneLine(said.Message)), "")
	r.status = said.Status
	if fix := fixOf(said); fix != "" {
		r.entry.Fix = fix
	}
	return r
}

// notAModel refuses a file that is of another kind, before anything is sent of it.
func notAModel(other *foreign.Error) *refusal {
	r := fail(catalogue.CodeModel, "model", other.What, "an ONNX model, or a folder with "+bundle.Manifest)
	r.entry.NotDone = "Nothing was sent."
	r.entry.Fix = other.Fix
	return r
}

// modelCommands are those that ask a box.
func (s *session) modelCommands() []*cobra.Command {
	list := []*cobra.Command{s.modelPush(), s.modelPack(), s.modelList(), s.modelRun(), s.modelRemove()}
	for _, c := range changes() {
		list = append(list, s.modelChange(c))
	}
	return list
}

func (s *session) modelPush() *cobra.Command {
	var o boxFlags
	var spec models.Spec
	cmd := &cobra.Command{
		Use:   "push FILE|FOLDER",
		Short: "Upload a model into a box",
		Long: `Upload an ONNX model into a box, after it was verified, and print what the box has
made of it. The box's digest of the model is compared with that of the file. A
connection that is cut costs nothing that the box has: the upload goes on there.
The model is yours alone, unless --shared lets every caller ask it whom the
box's policy lets.

Of a FOLDER, pipeline.yaml and what it names are sent, as the one file that
"model pack" makes of them, and nothing else that lies there.`,
		Args: exactly(1, "one FILE or FOLDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkSpec(spec); err != nil {
				return err
			}
			return s.withBox(o, func(c *models.Client) error { return s.push(cmd.Context(), c, args[0], spec) })
		},
	}
	addBoxFlags(cmd, &o)
	f := cmd.Flags()
	f.StringVar(&spec.Name, "name", "", "name of the model (default: that of the file)")
	f.StringVar(&spec.Version, "version", "", "version, a number (default: the one after the newest)")
	f.BoolVar(&spec.Shared, "shared", false, "let other callers ask it too, as YOU~NAME")
	f.BoolVar(&spec.Unoptimized, "no-optimize", false, "run the model's operators one by one")
	f.IntVar(&spec.Batch, "batch", 0, "let requests share runs of up to N rows, 2 to 64: for short texts")
	return cmd
}

// checkSpec refuses what the box would, before it is asked.
func checkSpec(spec models.Spec) error {
	if n, err := strconv.Atoi(spec.Version); spec.Version != "" && (err != nil || n < 1) {
		return usage("--version %q, expected a number from 1", abridge(spec.Version))
	}
	if spec.Batch != 0 && (spec.Batch < batches.MinRows || spec.Batch > batches.MaxRows) {
		return usage("--batch %d, expected %d to %d", spec.Batch, batches.MinRows, batches.MaxRows)
	}
	return nil
}

func (s *session) push(ctx context.Context, c *models.Client, file string, spec models.Spec) error {
	f, err := openModel(file)
	if err != nil {
		return err
	}
	defer f.close()
	if spec.Name == "" {
		spec.Name = f.name
	}
	if !isAName(spec.Name) {
		return usage("the model's name would be %q, expected up to 128 letters, digits, '.', '_' and '-', the first a letter or digit: give one with --name", abridge(spec.Name))
	}
	if f.size == 0 {
		return notAModel(&foreign.Error{What: "an empty file", Fix: "Have the file written or downloaded again: `blindbox model show FILE` tells what is in it."})
	}
	p := s.progress("sent", f.size)
	m, err := c.Push(ctx, f, f.size, spec, p.at)
	p.end()
	if err != nil {
		err = withAdvice(err, http.StatusBadRequest, "Correct what is said of the upload, as `blindbox model push --help` has it, and see that the file does not change while it is sent.")
		if spec.Version != "" {
			err = withAdvice(err, http.StatusConflict, takenVersion)
		}
		return withAdvice(err, http.StatusNotFound, goneUpload)
	}
	if s.json() {
		s.writeJSON(m)
		return nil
	}
	s.printf("%s version %s  %s\n  %s, %s, %s\n", oneLine(m.Name), oneLine(m.Version), oneLine(m.ID), sizes.Of(m.Size), oneLine(m.Visibility), state(m))
	return nil
}

// What to do about an upload that the box has not made a model of.
const (
	takenVersion = "Leave out --version, which makes a version after the newest, or take that one out: `blindbox model rm NAME --version N`."
	goneUpload   = "Push it again: the same file under the same name makes no second version."
)

// state says in words what a model is like.
func state(m models.Model) string {
	words := []string{strings.ToLower(oneLine(m.State))}
	if m.State == "READY" && !m.Loaded {
		words = []string{"sealed"}
	}
	if m.Pinned {
		words = append(words, "pinned")
	}
	words = append(words, options(m)...)
	if m.Reason != "" {
		words = append(words, oneLine(m.Reason))
	}
	return strings.Join(words, ", ")
}

// options says how a model runs, if not as usual.
func options(m models.Model) (words []string) {
	if !m.Optimize {
		words = append(words, "not optimized")
	}
	if m.Batch > 0 {
		words = append(words, fmt.Sprintf("in batches of %d", m.Batch))
	}
	return words
}

func (s *session) modelList() *cobra.Command {
	var o boxFlags
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the models of a box that you may know of",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.withBox(o, func(c *models.Client) error {
				list, err := c.List(cmd.Context())
				if err != nil {
					return err
				}
				s.writeModels(list)
				return nil
			})
		},
	}
	addBoxFlags(cmd, &o)
	return cmd
}

func (s *session) writeModels(list []models.Model) {
	if s.json() {
		s.writeJSON(map[string]any{"models": list})
		return
	}
	wide := len("NAME")
	for _, m := range list {
		wide = max(wide, len(oneLine(m.Name)))
	}
	s.printf("%-*s  %-7s  %-20s  %9s  %-10s  %s\n", wide, "NAME", "VERSION", "ID", "SIZE", "WHOSE", "STATE")
	for _, m := range list {
		whose := oneLine(m.Visibility)
		if m.Owner == "" {
			whose = "the box's"
		}
		s.printf("%-*s  %-7s  %-20.20s  %9s  %-10s  %s\n", wide, oneLine(m.Name), oneLine(m.Version), oneLine(m.ID), sizes.Of(m.Size), whose, state(m))
	}
}
