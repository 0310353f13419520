package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/blindbox/blindbox/attest"
	boxreceipt "github.com/blindbox/blindbox/box/receipt"
	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/internal/sizes"
	"github.com/blindbox/blindbox/policy"
	"github.com/blindbox/blindbox/receipt"
)

// bundleOf is the file with the evidence for the key of a receipt.
func bundleOf(file string) string { return file + ".bundle" }

// receiptFiles are the files that a receipt of a model's run is kept in; "" is none.
func receiptFiles(file string) []string {
	if file == "" {
		return nil
	}
	return []string{file, bundleOf(file), file + ".request", file + ".response"}
}

// unwritten refuses to begin what would write over a file.
func (s *session) unwritten(force bool, files ...string) error {
	for _, name := range files {
		if _, err := os.Lstat(name); err == nil && !force {
			return fail(catalogue.CodeFile, "file", name+" exists already", "a new name, or --force")
		}
	}
	return nil
}

// askReceipt has a request ask for a receipt, with a nonce that nobody used before.
// A nonce that the user gave stays.
func askReceipt(r *http.Request, file string) (nonce string) {
	if file == "" {
		return ""
	}
	if given := r.Header.Get(boxreceipt.Header); given != "" {
		return strings.TrimPrefix(given, "1")
	}
	var b [16]byte
	rand.Read(b[:])
	nonce = hex.EncodeToString(b[:])
	r.Header.Set(boxreceipt.Header, nonce)
	return nonce
}

// saveReceipt writes the receipt for an answer that was read to its end, and what
// proves its key. What is not about this request is not written.
func (s *session) saveReceipt(c http.RoundTripper, r *http.Request, res *http.Response, file, nonce string, force bool) error {
	none := func(seen string) error {
		return fail(receipt.CodeUnreadable, "receipt", seen, "a receipt for the request: a box makes one for callers of its policy")
	}
	token := []byte(res.Trailer.Get(boxreceipt.Header))
	if len(token) == 0 {
		id := res.Header.Get(boxreceipt.IDHeader)
		if id == "" {
			return none("the box gave none")
		}
		var err error
		if token, err = fetchOwn(c, r, "/receipts/"+id, receipt.MaxToken+2); err != nil {
			return none(err.Error())
		}
	}
	opened, err := receipt.Open(string(token))
	switch {
	case err != nil:
		return err
	case opened.Nonce != nonce:
		return fail(receipt.CodeDigest, "receipt", "the nonce "+oneLine(opened.Nonce), nonce+", which was sent")
	}
	bundle, err := fetchOwn(c, r, "/receipts/evidence", attest.MaxBundle)
	if err != nil {
		return none("no evidence for its key: " + err.Error())
	}
	b, err := attest.ParseBundle(bundle)
	if err != nil {
		return none("no evidence for its key: " + err.Error())
	}
	// The box may have got another key meanwhile.
	if err := attest.FailureOf(opened.Bind(b)); err != nil {
		return err
	}
	if err := s.writeFile(bundleOf(file), bundle, 0o644, force); err != nil {
		return err
	}
	return s.writeFile(file, []byte(strings.TrimSpace(string(token))+"\n"), 0o644, force)
}

// fetchOwn reads one of the box's own addresses, as the caller of r.
func fetchOwn(c http.RoundTripper, r *http.Request, name string, most int64) ([]byte, error) {
	u := *r.URL
	u.Path, u.RawPath, u.RawQuery = policy.ReservedPrefix+name, "", ""
	own, err := http.NewRequestWithContext(r.Context(), http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"Authorization", "Blindbox-Key"} {
		if shown := r.Header.Values(name); len(shown) > 0 {
			own.Header[name] = shown
		}
	}
	res, err := c.RoundTrip(own)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	switch {
	case err != nil:
		return nil, err
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s answers with %s", name, res.Status)
	case int64(len(text)) > most:
		return nil, fmt.Errorf("%s is longer than %s", name, sizes.Exact(most))
	}
	return text, nil
}
