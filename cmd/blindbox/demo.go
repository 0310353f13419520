package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/sim"
	"github.com/blindbox/blindbox/box"
	"github.com/blindbox/blindbox/client"
	"github.com/blindbox/blindbox/examples/tumour"
	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/policy"
)

// demoGrace is how long the demo may take to clean up after its time is over.
const demoGrace = 15 * time.Second

func newDemo(s *session) *cobra.Command {
	var limit time.Duration
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See all of it on this machine: no hardware, no network, nothing installed",
		Long: `Start a SIMULATED box with a real model behind a host that records every byte,
verify the box, send it one patient's record, and show what the host saw. Then
try two boxes that must be refused. Exit 0 only if all of it went as claimed.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), limit)
			defer cancel()
			return s.demo(ctx)
		},
	}
	cmd.Flags().DurationVar(&limit, "timeout", time.Minute, "how long the whole demo may take")
	return cmd
}

// demonstration is one run: what it is made of and what it found.
type demonstration struct {
	s        *session
	root     *sim.Root
	key      string // of the caller
	trust    *appraise.Trust
	policy   []byte
	record   []byte // the request that must stay private
	answer   []byte
	expected string
	found    demoFindings
}

// demoFindings is the document of -o json.
type demoFindings struct {
	OK        bool           `json:"ok"`
	Simulated bool           `json:"simulated"`
	Result    any            `json:"result"`
	Answer    demoAnswer     `json:"answer"`
	Host      demoHost       `json:"host"`
	Refusals  []demoRefusal  `json:"refusals"`
	Error     *errorDocument `json:"error,omitempty"`
	Exit      int            `json:"exit"`
}

// demoAnswer is what the model said about the record.
type demoAnswer struct {
	Label       string  `json:"label"`
	Probability float64 `json:"probability"`
	Expected    string  `json:"expected"`
}

// demoHost is what the untrusted host could see of the whole call.
type demoHost struct {
	BytesUp     int            `json:"bytes_up"`
	BytesDown   int            `json:"bytes_down"`
	RecordsUp   map[string]int `json:"tls_records_up"`
	RecordsDown map[string]int `json:"tls_records_down"`
	Searched    int            `json:"fragments_searched"`
	InPlaintext int            `json:"fragments_in_plaintext"`
	Found       int            `json:"fragments_found"`
}

// demoRefusal is a box that was refused, with the proof that nothing was sent.
type demoRefusal struct {
	Name  string         `json:"name"`
	What  string         `json:"what"`
	Error errorDocument  `json:"error"`
	Sent  map[string]int `json:"sent"`
	Proof string         `json:"proof"`
}

func (s *session) demo(ctx context.Context) error {
	d := &demonstration{s: s}
	done := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				done <- fail(catalogue.CodeInternal, "internal", fmt.Sprint(r), "")
			}
		}()
		done <- d.run(ctx)
	}()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
		select {
		case <-done: // what was found is complete
		case <-time.After(demoGrace):
			return unlike("it does not end")
		}
	}
	d.found.OK, d.found.Simulated = err == nil, true
	if err == nil {
		s.printf("\nAll of it went as claimed. Nothing here is protected by hardware: the box is SIMULATED.\n")
	}
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fail(catalogue.CodeDemo, "demo", "not done in time", "--timeout, or less load on this machine")
	}
	if !s.json() {
		return err
	}
	if err != nil {
		r := refusalOf(err)
		doc := r.document()
		d.found.Error, d.found.Exit = &doc, r.exit
		s.writeJSON(d.found)
		return shown{r}
	}
	s.writeJSON(d.found)
	return nil
}

// unlike says that the demo did not go as it claims.
func unlike(format string, args ...any) error {
	return fail(catalogue.CodeDemo, "demo", fmt.Sprintf(format, args...), "")
}

func (d *demonstration) run(ctx context.Context) error {
	if err := d.prepare(); err != nil {
		return unlike("%v", err)
	}
	for _, step := range []func(context.Context) error{d.call, d.changedPolicy, d.manInTheMiddle} {
		if err := step(ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
	}
	return nil
}

func (d *demonstration) prepare() error {
	if d.s.terminal() {
		d.s.note("making keys ...\n")
	}
	var err error
	if d.root, err = sim.NewRoot(rand.Reader, d.s.now()); err != nil {
		return err
	}
	secret := make([]byte, 24)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	d.key = "demo-" + base64.RawURLEncoding.EncodeToString(secret)
	d.policy = fmt.Appendf(nil, `name: tumour
models:
  - {name: tumour, builtin: tumour, sha256: "sha256:%s"}
callers:
  - {name: clinic, api_key: "sha256:%x", may: [query]}
limits: {request: 64KiB, concurrent: 8}
logs: counters
`, tumour.SHA256, sha256.Sum256([]byte(d.key)))
	d.record, d.expected = tumour.Sample()
	return nil
}

// stage is a box with a host in front of it.
type stage struct {
	box      *devBox
	host     *host
	requests atomic.Int64
}

func (d *demonstration) open(ctx context.Context, doc []byte, middle bool) (*stage, error) {
	p, err := policy.Parse(doc)
	if err != nil {
		return nil, unlike("%v", err)
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fail(catalogue.CodeListen, "listen", err.Error(), "")
	}
	st := &stage{}
	st.requests.Store(-1)
	st.box, err = startBox(ctx, d.root, p, ln, surroundings{log: st.count})
	if err != nil {
		return nil, err
	}
	if st.host, err = d.inFront(ctx, st.box.addr, middle); err != nil {
		_ = st.box.close()
		return nil, unlike("%v", err)
	}
	return st, nil
}

func (d *demonstration) inFront(ctx context.Context, target string, middle bool) (*host, error) {
	if !middle {
		return startHost(ctx, target, nil)
	}
	key, err := newMiddleKey(d.s.now())
	if err != nil {
		return nil, err
	}
	return startHost(ctx, target, key)
}

// close ends the stage and returns how many requests the box has counted, -1 if
// it did not say. It may be called again.
func (st *stage) close() int64 {
	st.host.close()
	_ = st.box.close()
	return st.requests.Load()
}

// count takes over the counters that a box tells of when it has stopped.
func (st *stage) count(e box.Event) {
	if e.Name != box.Stopped || e.Counters == nil {
		return
	}
	var sum int64
	for _, counted := range []map[string]int64{e.Counters.Answered, e.Counters.Refused} {
		for _, n := range counted {
			sum += n
		}
	}
	st.requests.Store(sum)
}

// send asks the box at u about the record, exactly as it would be asked if all
// were well. Refusing is up to the client.
func (d *demonstration) send(ctx context.Context, c *client.Client, base string) ([]byte, error) {
	u := base + "/v2/models/tumour/infer"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, bytes.NewReader(d.record))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	return readAnswer(res)
}

// call is the part that must succeed.
func (d *demonstration) call(ctx context.Context) error {
	st, err := d.open(ctx, d.policy, false)
	if err != nil {
		return err
	}
	defer st.close()
	if d.trust, err = appraise.ParseTrust(st.box.trustFile()); err != nil {
		return unlike("%v", err)
	}
	c, err := d.client()
	if err != nil {
		return err
	}
	defer c.Close()
	u, err := url.Parse(st.host.url())
	if err != nil {
		return unlike("%v", err)
	}
	d.s.printf("1. A box with a model, behind a host that records every byte\n")
	v, took, err := verifyWith(ctx, c, u)
	if err != nil {
		return err
	}
	d.found.Result = v.full
	if !d.s.json() {
		v.print(d.s, took)
	}
	if v.outcome != appraise.Trusted || !v.simulated {
		return unlike("the box was %s, simulated %v", v.outcome, v.simulated)
	}
	if d.answer, err = d.send(ctx, c, st.host.url()); err != nil {
		return unlike("the request failed: %v", err)
	}
	if err := d.showAnswer(); err != nil {
		return err
	}
	c.Close()
	st.host.close()
	return d.showHost(st.host)
}

func (d *demonstration) client() (*client.Client, error) {
	c, err := client.New(d.trust, client.WithAPIKey(d.key))
	if err != nil {
		return nil, unlike("%v", err)
	}
	return c, nil
}

func (d *demonstration) showAnswer() error {
	a, err := readPrediction(d.answer)
	if err != nil {
		return unlike("%v", err)
	}
	a.Expected = d.expected
	d.found.Answer = a
	d.s.printf("\n2. One patient's record, 30 measurements, sent to the box\n")
	d.s.printf("  answer     %s, probability %.4f (the record's diagnosis: %s)\n", a.Label, a.Probability, d.expected)
	if a.Label != d.expected {
		return unlike("the model says %s, the record is of a %s tumour", a.Label, d.expected)
	}
	return nil
}

func (d *demonstration) showHost(h *host) error {
	up, down := h.recorded()
	found := demoHost{BytesUp: len(up), BytesDown: len(down)}
	var onlyTLS [2]bool
	found.RecordsUp, onlyTLS[0] = h.records(upward)
	found.RecordsDown, onlyTLS[1] = h.records(downward)
	all := fragments(d.record, d.answer, d.key)
	found.Searched = len(all)
	found.InPlaintext = len(foundIn(all, d.record, d.answer, []byte(d.key)))
	hits := foundIn(all, up, down)
	found.Found = len(hits)
	d.found.Host = found
	d.s.printf("\n3. What the untrusted host saw\n")
	d.s.printf("  to box     %d bytes: %s\n", found.BytesUp, recordText(found.RecordsUp))
	d.s.printf("  from box   %d bytes: %s\n", found.BytesDown, recordText(found.RecordsDown))
	d.s.printf("  searched   %d fragments of the record, the answer and the API key: %d found\n", found.Searched, found.Found)
	d.s.printf("             (the same search finds %d of them before encryption)\n", found.InPlaintext)
	switch {
	case !onlyTLS[0] || !onlyTLS[1]:
		return unlike("the host saw something that is not a TLS record")
	case found.BytesUp == 0 || found.BytesDown == 0 || found.InPlaintext < 30:
		return unlike("the search proves nothing: %d bytes, %d fragments", found.BytesUp, found.InPlaintext)
	case len(hits) > 0:
		return unlike("the host saw %d fragments of the record, the answer or the key", len(hits))
	}
	return nil
}

// changedPolicy starts the box anew with one byte of its policy changed.
func (d *demonstration) changedPolicy(ctx context.Context) error {
	doc := bytes.Replace(d.policy, []byte("concurrent: 8"), []byte("concurrent: 9"), 1)
	st, err := d.open(ctx, doc, false)
	if err != nil {
		return err
	}
	defer st.close()
	d.s.printf("\n4. The same box, one byte of its policy changed (concurrent: 8 -> 9)\n")
	refused, err := d.mustRefuse(ctx, st, attest.CodePolicyMismatch)
	if err != nil {
		return err
	}
	requests := st.close()
	up, down := st.host.recorded()
	tls, onlyTLS := st.host.records(upward)
	entry := demoRefusal{
		Name: "changed policy", What: "one byte of the box's policy was changed", Error: refused.document(),
		Sent:  map[string]int{"bytes": len(up), "application_data_bytes": st.host.payload(upward), "requests_counted_by_box": int(requests)},
		Proof: fmt.Sprintf("%d bytes inside TLS went to the box, the record alone has %d; the box counted %d requests", st.host.payload(upward), len(d.record), requests),
	}
	d.s.printf("  proof      %s\n", entry.Proof)
	d.found.Refusals = append(d.found.Refusals, entry)
	switch {
	case requests != 0:
		return unlike("the box counted %d requests", requests)
	case !onlyTLS || tls["application_data"] == 0 || st.host.payload(upward) >= len(d.record):
		return unlike("%d bytes inside TLS went to the box", st.host.payload(upward))
	}
	return d.searchNothing(up, down)
}

// manInTheMiddle puts a host in front of the good box that ends TLS itself.
func (d *demonstration) manInTheMiddle(ctx context.Context) error {
	st, err := d.open(ctx, d.policy, true)
	if err != nil {
		return err
	}
	defer st.close()
	d.s.printf("\n5. The genuine box, behind a relay with a TLS key of its own\n")
	refused, err := d.mustRefuse(ctx, st, attest.CodeKeyMismatch)
	if err != nil {
		return err
	}
	requests := st.close()
	up, down := st.host.recorded()
	entry := demoRefusal{
		Name: "man in the middle", What: "a relay ends TLS with its own key and passes the box's evidence on", Error: refused.document(),
		Sent:  map[string]int{"decrypted_bytes": len(up), "requests_counted_by_box": int(requests)},
		Proof: fmt.Sprintf("the relay decrypted all %d bytes of the client: the gate's question and nothing else", len(up)),
	}
	d.s.printf("  proof      %s\n", entry.Proof)
	d.found.Refusals = append(d.found.Refusals, entry)
	switch {
	case requests != 0:
		return unlike("the box counted %d requests", requests)
	case !onlyQuestions(st.host):
		return unlike("the relay could read something else than the gate's question")
	case len(down) == 0:
		return unlike("the relay had no evidence to pass on")
	}
	return d.searchNothing(up, down)
}

// mustRefuse sends the record and returns how it was refused. That it was
// refused for another reason than expected counts as a defect too.
func (d *demonstration) mustRefuse(ctx context.Context, st *stage, want attest.Code) (*refusal, error) {
	c, err := d.client()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	_, err = d.send(ctx, c, st.host.url())
	var refused *client.RefusedError
	switch {
	case err == nil:
		return nil, unlike("the box was accepted and the record was sent")
	case !errors.As(err, &refused):
		return nil, unlike("no verdict: %v", err)
	}
	r := refusalOf(err)
	if r.reason != want {
		return nil, unlike("refused for %s, expected %s: %v", r.reason, want, err)
	}
	if !d.s.json() {
		d.s.printf("REFUSED\n")
		r.printShort(d.s.stdout)
	}
	return r, nil
}

func (d *demonstration) searchNothing(streams ...[]byte) error {
	if hits := foundIn(fragments(d.record, d.answer, d.key), streams...); len(hits) > 0 {
		return unlike("%d fragments of the record were sent", len(hits))
	}
	return nil
}

func recordText(count map[string]int) string {
	var parts []string
	for _, name := range []string{"handshake", "change_cipher_spec", "application_data", "alert"} {
		if n := count[name]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, name))
		}
	}
	return "TLS records only: " + strings.Join(parts, ", ")
}
