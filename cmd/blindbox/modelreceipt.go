package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/client/models"
	"github.com/blindbox/blindbox/internal/sizes"
)

func addReceiptFlag(cmd *cobra.Command, o *boxFlags) {
	cmd.Flags().StringVar(&o.receipt, "receipt", "", "ask for a receipt and write it to a file, the evidence for it to FILE.bundle, and the bodies that went and came to FILE.request and FILE.response")
	cmd.Flags().BoolVar(&o.force, "force", false, "write over the files of a receipt that are there")
}

// receipted sends what the models client sends, and keeps what a receipt is about.
type receipted struct {
	http.RoundTripper
	file  string
	force bool

	nonce             string
	request, response []byte
	sent              *http.Request
	answer            *http.Response
}

// RoundTrip asks for a receipt for what a command is for. What it looks at before, such
// as the model's inputs, is no part of that.
func (r *receipted) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.Method == http.MethodGet {
		return r.RoundTripper.RoundTrip(q)
	}
	if r.sent != nil {
		return nil, errors.New("a receipt is for one request, and this is the second")
	}
	body, err := readBody(q.Body)
	if err != nil {
		return nil, err
	}
	q = q.Clone(q.Context()) // a RoundTripper leaves requests as they are
	if len(body) > 0 {
		q.Body = io.NopCloser(bytes.NewReader(body))
	}
	r.sent, r.request, r.nonce = q, body, askReceipt(q, r.file)
	a, err := r.RoundTripper.RoundTrip(q)
	if err != nil {
		return nil, err
	}
	r.answer = a
	if r.response, err = readBody(a.Body); err != nil {
		return nil, err
	}
	shown := *a // a's trailer is there now
	shown.Body = io.NopCloser(bytes.NewReader(r.response))
	return &shown, nil
}

// maxReceipted bounds what is kept of a request or an answer, in bytes.
const maxReceipted = 1 << 30

func readBody(body io.ReadCloser) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, maxReceipted+1))
	if err == nil && len(data) > maxReceipted {
		err = usage("more than %s: too large for --receipt", sizes.Exact(maxReceipted))
	}
	return data, err
}

// save writes what there is when a command has ended with err: a box gives receipts for
// what it refuses, too.
func (r *receipted) save(s *session, err error) error {
	var said *models.Error
	if r.answer == nil || (err != nil && !errors.As(err, &said)) {
		return err
	}
	if failed := s.saveReceipt(r.RoundTripper, r.sent, r.answer, r.file, r.nonce, r.force); failed != nil {
		return errors.Join(err, failed)
	}
	for name, data := range map[string][]byte{r.file + ".request": r.request, r.file + ".response": r.response} {
		if len(data) == 0 {
			if r.force {
				os.Remove(name) // another receipt's
			}
			continue
		}
		if failed := s.writeFile(name, data, 0o600, r.force); failed != nil {
			return errors.Join(err, failed)
		}
	}
	return err
}
