package main

import (
	"errors"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/internal/catalogue"
)

// defaultTrust is where a trust file is looked for if none is named.
const defaultTrust = "trust.yaml"

// maxTrust bounds a trust file in bytes.
const maxTrust = 64 << 10

func addTrustFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "trust", "", "trust file (default ./"+defaultTrust+")")
}

// loadTrust reads the trust file that was named, or the one in the current
// directory. It returns nil without an error only if there is none and that is
// permitted.
func (s *session) loadTrust(file string, optional bool) (*appraise.Trust, error) {
	if file == "" {
		if _, err := os.Stat(defaultTrust); errors.Is(err, os.ErrNotExist) {
			if optional {
				return nil, nil
			}
			return nil, fail(catalogue.CodeNoTrust, "trust", "no --trust and no ./"+defaultTrust, "a trust file")
		}
		file = defaultTrust
	}
	doc, err := s.readFile(file, maxTrust)
	if err != nil {
		return nil, err
	}
	t, err := appraise.ParseTrust(doc)
	if err != nil {
		return nil, badDocument(catalogue.CodeBadTrust, "trust", file, err)
	}
	return t, nil
}

// isURL tells an address from a file name.
func isURL(arg string) bool { return strings.Contains(arg, "://") }

// isBareAddress reports whether arg is HOST:PORT rather than a file that exists.
func isBareAddress(arg string) bool {
	host, port, err := net.SplitHostPort(arg)
	if err != nil || host == "" {
		return false
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return false
	}
	_, err = os.Stat(arg)
	return errors.Is(err, os.ErrNotExist)
}

// boxURL reads the address of a box.
func boxURL(arg string) (*url.URL, error) {
	bad := func(seen string) error {
		return fail(catalogue.CodeAddress, "address", seen, "https://HOST[:PORT]")
	}
	u, err := url.Parse(arg)
	switch {
	case err != nil:
		return nil, bad(strconv.Quote(arg))
	case u.Scheme != "https":
		return nil, bad("scheme \"" + u.Scheme + "\"")
	case u.Hostname() == "":
		return nil, bad("no host")
	case u.User != nil:
		// It would end up in logs and shell histories.
		return nil, bad("a user name in the address")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, bad("port " + port)
		}
	}
	return u, nil
}
