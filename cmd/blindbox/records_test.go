package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"

	"filippo.io/age"

	boxreceipt "github.com/blindbox/blindbox/box/receipt"
)

// recordsOf is a program of the scripts: "policy APP LISTEN" writes a policy with
// sealed logs and their key; "fetch FILE URL" writes an answer, "receipt FILE URL" the
// receipt for one, as a program would that knows HTTP and nothing of boxes.
func recordsOf() {
	var err error
	switch os.Args[1] {
	case "policy":
		err = recordsPolicy(os.Args[2], os.Args[3])
	case "fetch":
		_, err = fetchTo(os.Args[2], os.Args[3], "")
	case "receipt":
		var id string
		if id, err = fetchTo(os.DevNull, os.Args[3]+os.Args[4], "1"); err == nil {
			_, err = fetchTo(os.Args[2], os.Args[3]+"/.well-known/blindbox/receipts/"+id, "")
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func recordsPolicy(program, listen string) error {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	doc := fmt.Sprintf("name: records\napp:\n  command: [%q, %q]\n  listen: %s\ncallers: [{name: anyone, anyone: true, may: [query]}]\nlimits: {request: 1MiB}\n\nlogs: sealed:%s\naudit: host\n",
		program, listen, listen, id.Recipient())
	if err := os.WriteFile("box.yaml", []byte(doc), 0o600); err != nil {
		return err
	}
	return os.WriteFile("key.txt", []byte(id.String()+"\n"), 0o600)
}

// fetchTo returns the id of the receipt for the answer.
func fetchTo(file, url, receipt string) (id string, err error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	if receipt != "" {
		r.Header.Set(boxreceipt.Header, receipt)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s, %w", url, res.Status, err)
	}
	return res.Header.Get(boxreceipt.IDHeader), os.WriteFile(file, text, 0o600)
}
