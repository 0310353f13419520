package client_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/atls"
	"github.com/blindbox/blindbox/attest"
	"github.com/blindbox/blindbox/attest/sim"
	"github.com/blindbox/blindbox/client"
)

// startBox starts a simulated box that greets its callers. It returns its URL,
// a trust file that accepts it, and a function that stops it.
func startBox() (url string, trust []byte, stop func()) {
	root, err := sim.NewRoot(rand.Reader, time.Now())
	if err != nil {
		log.Fatal(err)
	}
	policy := []byte("name: greeter\nmodels:\n  - {name: greeter, builtin: greeter}\n")
	code := sim.Measure([]byte("greeter v1"))
	attester, err := root.NewAttester(sim.Box{Measurement: code, HostData: sha256.Sum256(policy)}, time.Now)
	if err != nil {
		log.Fatal(err)
	}
	gate, err := atls.NewServer(atls.ServerConfig{Attester: attester, Policy: policy})
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "hello, %s", body)
	})}
	go srv.Serve(gate.Listener(listener))
	file := fmt.Sprintf(`version: 1
accept:
  - name: greeter v1
    sev-snp: {measurement: %x}
    policy: sha256:%x
allow_simulated: true
simulated_root: sha256:%s
`, code, sha256.Sum256(policy), root.Fingerprint())
	return "https://" + listener.Addr().String(), []byte(file), func() { srv.Close() }
}

// A request to a box that the trust file accepts.
func Example() {
	url, file, stop := startBox()
	defer stop()

	trust, err := appraise.ParseTrust(file)
	if err != nil {
		log.Fatal(err)
	}
	c, err := client.New(trust)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	resp, err := c.HTTP().Post(url+"/greet", "text/plain", strings.NewReader("world"))
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	result, _ := client.ResultFrom(resp)
	fmt.Printf("%s, says %s\n", body, result.Code())
	if result.Simulated() {
		fmt.Println("SIMULATED")
	}
	// Output:
	// hello, world, says greeter v1
	// SIMULATED
}

// What came of every check, before anything is sent.
func ExampleClient_Verify() {
	url, file, stop := startBox()
	defer stop()
	trust, err := appraise.ParseTrust(file)
	if err != nil {
		log.Fatal(err)
	}
	c, err := client.New(trust)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	result, bundle, err := c.Verify(ctx, url)
	if err != nil {
		log.Fatal(err)
	}
	for _, line := range result.Lines()[1:3] {
		fmt.Println(strings.Replace(line.String(), short(result), "...", 1))
	}
	fmt.Println(result.Verdict(), bundle.Evidence.Kind)
	// Output:
	// code       measurement ... = greeter v1
	// channel    bound to this TLS session, nonce fresh
	// trusted sim-sev-snp
}

// short is the measurement as a line shows it.
func short(r appraise.Result) string {
	for _, c := range r.Group(appraise.GroupCode) {
		if c.Name == "code.measurement" {
			return c.Seen[:4] + ".." + c.Seen[len(c.Seen)-4:]
		}
	}
	return ""
}

// A box that runs other code is refused, with the reason, and is sent nothing.
func ExampleRefusedError() {
	url, file, stop := startBox()
	defer stop()
	strict, err := appraise.ParseTrust(append(file, "require: {callers: authenticated, models: [sha256:"+strings.Repeat("ab", 32)+"]}\n"...))
	if err != nil {
		log.Fatal(err)
	}
	c, err := client.New(strict)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	_, err = c.HTTP().Get(url)
	var refused *client.RefusedError
	if errors.As(err, &refused) {
		fmt.Println(refused.Result.Verdict(), refused.Result.Codes())
	}
	var failure *attest.Failure
	if errors.As(err, &failure) {
		fmt.Println(failure.Failed()[0].Seen)
	}
	// Output:
	// refused [policy_requirement]
	// models: line 3: greeter without a digest
}

// A plain connection, for a protocol that is not HTTP.
func ExampleClient_Dial() {
	url, file, stop := startBox()
	defer stop()
	trust, err := appraise.ParseTrust(file)
	if err != nil {
		log.Fatal(err)
	}
	c, err := client.New(trust)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	conn, result, err := c.Dial(context.Background(), "tcp", strings.TrimPrefix(url, "https://"))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n")
	answer, err := io.ReadAll(conn)
	if err != nil {
		log.Fatal(err)
	}
	status, _, _ := strings.Cut(string(answer), "\r\n")
	fmt.Println(result.Code(), status)
	// Output:
	// greeter v1 HTTP/1.1 200 OK
}
