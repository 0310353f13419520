package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/receipt"
)

type receiptOptions struct {
	signedOptions
	request, response string // files with bodies
	head              string // "POST /v1/x"
	headers           []string
	nonce             string
}

func newReceipt(s *session) *cobra.Command {
	group := &cobra.Command{
		Use:   "receipt",
		Short: "Look at what a box signed about one request",
		Args:  exactly(1, "a command: verify"),
		RunE:  func(cmd *cobra.Command, args []string) error { return unknownCommand(cmd, args[0]) },
	}
	var o receiptOptions
	verify := &cobra.Command{
		Use:   "verify FILE",
		Short: "Verify a receipt without a connection",
		Long: `Verify what a box signed about one request that it answered: the signature, that
the evidence in --bundle names the key, that the trust file accepts the box, and that
the receipt is about the bytes you give. It uses no network.

"blindbox curl --receipt FILE" asks for one and writes it to FILE, and the evidence for
the box's key to FILE.bundle, which is read without --bundle. By hand: a box gives a
receipt for a request with the header Blindbox-Receipt: 1, as the trailer
Blindbox-Receipt or at /.well-known/blindbox/receipts/ID, and the evidence at
/.well-known/blindbox/receipts/evidence. Without evidence anybody may have signed it,
and the verdict is PARTIAL at best.`,
		Args: exactly(1, "one FILE"),
		RunE: func(_ *cobra.Command, args []string) error { return s.receiptVerify(args[0], o) },
	}
	o.flags(verify)
	f := verify.Flags()
	f.StringVar(&o.request, "request", "", "a file with the body that was sent")
	f.StringVar(&o.response, "response", "", "a file with the body that came back")
	f.StringVar(&o.head, "head", "", "method and target of the request, as in \"POST /v1/x?q=1\"")
	f.StringArrayVar(&o.headers, "header", nil, "with --head: \"Content-Type: ...\" or \"Content-Encoding: ...\" as it was sent; may be repeated")
	f.StringVar(&o.nonce, "nonce", "", "what was sent as Blindbox-Receipt")
	group.AddCommand(verify)
	return group
}

func (s *session) receiptVerify(file string, o receiptOptions) error {
	if len(o.headers) > 0 && o.head == "" {
		return usage("--header without --head")
	}
	if len(o.bundles) > 1 {
		return usage("%d bundles, but a receipt has one key", len(o.bundles))
	}
	token, err := s.readFile(file, receipt.MaxToken+2)
	if err != nil {
		return err
	}
	if _, err := os.Stat(bundleOf(file)); err == nil && len(o.bundles) == 0 {
		o.bundles = []string{bundleOf(file)}
	}
	proofs, err := s.prove(o.signedOptions)
	if err != nil {
		return err
	}
	opened, err := receipt.Open(string(token))
	if err != nil {
		return s.concludeFile(verdict{outcome: appraise.Refused, err: err})
	}
	own, err := s.compareReceipt(opened.Receipt, o)
	if err != nil {
		return err
	}
	checks, lines := proofs.judge(opened.Key, func(p proof) []attest.Check { return opened.Bind(p.bundle) })
	checks = append(checks, attest.Check{Name: "receipt.signature", Status: attest.Pass, Seen: "by the key " + opened.Key.String()})
	checks = append(checks, own...)
	lines = append(lines, receiptLines(opened.Receipt, own)...)
	v := signedVerdict(checks, lines, proofs.simulated(opened.Box), map[string]any{"receipt": opened.Receipt, "key": opened.Key.String()})
	return s.concludeFile(v)
}

// compareReceipt makes the comparisons that were asked for.
func (s *session) compareReceipt(r receipt.Receipt, o receiptOptions) ([]attest.Check, error) {
	var checks []attest.Check
	for _, side := range []struct {
		name, file string
		message    receipt.Message
	}{{"request", o.request, r.Request}, {"response", o.response, r.Response}} {
		if side.file == "" {
			continue
		}
		size, sum, err := s.hashFile(side.file)
		if err != nil {
			return nil, err
		}
		checks = append(checks, side.message.CompareBody(side.name, size, sum))
	}
	if o.head != "" {
		want, err := headOf(o)
		if err != nil {
			return nil, err
		}
		checks = append(checks, r.Request.CompareHead("request", want))
	}
	if o.nonce != "" {
		c := attest.Check{Name: "receipt.nonce", Status: attest.Pass, Seen: r.Nonce, Expected: o.nonce}
		if r.Nonce != o.nonce {
			c.Status, c.Code = attest.Fail, receipt.CodeDigest
		}
		checks = append(checks, c)
	}
	return checks, nil
}

func headOf(o receiptOptions) (receipt.Digest, error) {
	method, target, found := strings.Cut(o.head, " ")
	if !found || method == "" || !strings.HasPrefix(target, "/") {
		return receipt.Digest{}, usage("--head %q, expected a method and a path, as in \"POST /v1/x\"", o.head)
	}
	header := http.Header{}
	for _, line := range o.headers {
		name, value, found := strings.Cut(line, ":")
		if !found || !isCovered(name) {
			return receipt.Digest{}, usage("--header %q, expected one of %s, a colon and its value", line, strings.Join(receipt.Fields(), ", "))
		}
		header.Add(name, strings.TrimSpace(value))
	}
	return receipt.RequestHead(method, target, header), nil
}

func isCovered(name string) bool {
	for _, field := range receipt.Fields() {
		if strings.EqualFold(name, field) {
			return true
		}
	}
	return false
}

// hashFile reads a file of any size.
func (s *session) hashFile(name string) (int64, [32]byte, error) {
	in := s.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return 0, [32]byte{}, fail(catalogue.CodeFile, "file", err.Error(), "")
		}
		defer f.Close()
		in = f
	}
	h := sha256.New()
	n, err := io.Copy(h, in)
	if err != nil {
		return 0, [32]byte{}, fail(catalogue.CodeFile, "file", err.Error(), "")
	}
	return n, [32]byte(h.Sum(nil)), nil
}

// receiptLines say in words what a receipt holds.
func receiptLines(r receipt.Receipt, own []attest.Check) []appraise.Line {
	line := func(group, format string, args ...any) appraise.Line {
		return appraise.Line{Group: group, Status: attest.Pass, Text: fmt.Sprintf(format, args...)}
	}
	lines := []appraise.Line{
		line("request", "%s, by %s, %s", r.Began.Format(time.RFC3339), r.Caller, messageText(r.Request)),
		line("decision", "%s", decisionText(r.Decision)),
		line("response", "%d, %s", r.Response.Status, messageText(r.Response)),
		line("serves", "%s", servesText(r.Serves)),
		line("egress", "%s", egressText(r.Egress)),
		line("audit", "record %d, chain %s", r.Audit.Sequence, r.Audit.Chain),
	}
	if r.Audit.Chain.IsZero() {
		lines[5].Text = "the box keeps no audit log"
	}
	if r.Outcome != receipt.Complete {
		lines[2].Text = strings.ToUpper(string(r.Outcome)) + ": " + lines[2].Text
	}
	return append(lines, comparedLine(own))
}

// comparedLine says whether the receipt is about what the reader has at hand.
func comparedLine(own []attest.Check) appraise.Line {
	l := appraise.Line{Group: "compared", Status: attest.Pass}
	if len(own) == 0 {
		l.Text = "with nothing: --request, --response and --head say what it is to be about"
		return l
	}
	var f *attest.Failure
	if errors.As(attest.FailureOf(own), &f) {
		l.Status = attest.Fail
		own = f.Failed()
	}
	var names []string
	for _, c := range own {
		names = append(names, strings.ReplaceAll(strings.TrimPrefix(c.Name, "receipt."), "_", " "))
	}
	l.Text = strings.Join(names, ", ") + " as you give it"
	if l.Status == attest.Fail {
		l.Text = "another " + strings.Join(names, ", ") + " than you give"
	}
	return l
}

func messageText(m receipt.Message) string {
	text := fmt.Sprintf("%d bytes, %s", m.Bytes, m.Body)
	if !m.Complete {
		text += ", not to its end"
	}
	return text
}

func decisionText(d receipt.Decision) string {
	word := "denied"
	if d.Allowed {
		word = "allowed"
	}
	text := d.Action + " " + word
	if d.Line > 0 {
		text += fmt.Sprintf(" by line %d of the policy", d.Line)
	}
	if d.Code > 0 {
		text += fmt.Sprintf(", answered with BBX-%03d", d.Code)
	}
	return text
}

func servesText(list []receipt.Artifact) string {
	var out []string
	for _, a := range list {
		text := a.Kind + " " + a.Name
		if !a.Digest.IsZero() {
			text += " " + a.Digest.String()
		}
		out = append(out, text)
	}
	if len(out) == 0 {
		return "not said"
	}
	return strings.Join(out, ", ")
}

func egressText(e receipt.Egress) string {
	if !e.Observed {
		return "not observed: the box does not watch its app's connections"
	}
	var out []string
	for _, f := range e.Flows {
		out = append(out, fmt.Sprintf("%s (line %d): %d connections, %d refused, %d bytes out, %d in", f.To, f.Line, f.Opened, f.Refused, f.Sent, f.Received))
	}
	if e.More > 0 {
		out = append(out, fmt.Sprintf("and %d more", e.More))
	}
	text := strings.Join(out, "; ")
	if text == "" {
		text = "nothing left the box meanwhile"
	}
	if e.Shared {
		text += " (other requests ran at the same time)"
	}
	return text
}
