package atls_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"

	"github.com/blindbox/blindbox/atls"
	"github.com/blindbox/blindbox/attest"
)

// toy stands for hardware: its Evidence is the 64 bytes it was asked to sign.
// A real Attester is in package attest/device.
type toy struct{}

func (toy) Kind() attest.Kind { return attest.SimSNP }

func (toy) Attest(_ context.Context, b attest.Bound) (attest.Evidence, attest.Endorsements, error) {
	sum := b.Bytes()
	return attest.Evidence{Kind: attest.SimSNP, Data: sum[:]}, nil, nil
}

// checkToy stands for a verifier and an appraisal: it holds what was signed
// against the statement, which every CheckFunc must do.
func checkToy(_ context.Context, p atls.Presented) (any, error) {
	bound, err := p.Statement.Bind()
	if err != nil {
		return nil, err
	}
	if sum := bound.Bytes(); string(p.Bundle.Evidence.Data) != string(sum[:]) {
		return nil, attest.NewFailure("hardware.bound", attest.CodeNotBound, "other bytes", "the statement's hash")
	}
	return "a toy box", nil
}

// A box serves HTTP behind the gate, and a client talks to it with net/http.
func Example() {
	server, err := atls.NewServer(atls.ServerConfig{Attester: toy{}, Policy: []byte("name: hello\n")})
	if err != nil {
		log.Fatal(err)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	box := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello over "+r.Proto)
	})}
	defer box.Close()
	go box.Serve(server.Listener(inner))

	client, err := atls.NewClient(atls.ClientConfig{
		Check:      checkToy,
		Kinds:      []attest.Kind{attest.SimSNP},
		NextProtos: []string{"h2", "http/1.1"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	web := http.Client{Transport: &http.Transport{DialTLSContext: client.DialContext, ForceAttemptHTTP2: true}}
	answer, err := web.Get("https://" + inner.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	fmt.Println(string(body))
	// Output: hello over HTTP/2.0
}

// An ordinary web server is refused, and nothing is sent to it.
func ExampleClient_DialContext() {
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go http.Serve(web, http.NotFoundHandler())
	defer web.Close()

	client, err := atls.NewClient(atls.ClientConfig{Check: checkToy, Kinds: []attest.Kind{attest.SimSNP}})
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.DialContext(context.Background(), "tcp", web.Addr().String())
	var refused *attest.Failure
	if errors.As(err, &refused) {
		fmt.Println(refused.Code())
	}
	// Output: no_attestation
}
