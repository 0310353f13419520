package main

import (
	"crypto/tls"
	"strings"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/client"
	"github.com/blindbox/blindbox/internal/catalogue"
)

// certFlags name the caller's certificate, as curl's flags of the same name do.
type certFlags struct{ cert, key string }

// maxPEM bounds a file with a certificate and its issuers, or with a key.
const maxPEM = 64 << 10

func addCertFlags(cmd *cobra.Command, c *certFlags) {
	f := cmd.Flags()
	f.StringVar(&c.cert, "cert", "", "file with your TLS client certificate and its issuers, PEM; shown to the box before it is verified")
	f.StringVar(&c.key, "key", "", "file with the certificate's private key, PEM")
}

// withCertificate adds the caller's certificate to the options, if there is one.
func (s *session) withCertificate(c certFlags, opts []client.Option) ([]client.Option, error) {
	if c.cert == "" && c.key == "" {
		return opts, nil
	}
	if c.cert == "" || c.key == "" {
		return nil, usage("--cert and --key, expected both or none")
	}
	chain, err := s.readFile(c.cert, maxPEM)
	if err != nil {
		return nil, err
	}
	key, err := s.readFile(c.key, maxPEM)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fail(catalogue.CodeFile, "file", c.cert+", "+c.key+": "+strings.TrimPrefix(err.Error(), "tls: "), "a certificate in PEM, and its private key")
	}
	return append(opts, client.WithCertificate(&pair)), nil
}
