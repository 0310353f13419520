package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/box/operate"
	"github.com/blindbox/blindbox/client"
	"github.com/blindbox/blindbox/internal/catalogue"
	"github.com/blindbox/blindbox/policy"
)

type operateOptions struct {
	trust, keyFile, tokenFile string
	cert                      certFlags
	silent                    bool
	timeout                   time.Duration
}

func newOperate(s *session) *cobra.Command {
	var o operateOptions
	cmd := &cobra.Command{
		Use:   "operate URL restart|exec|shell|debug [-- COMMAND ...]",
		Short: "Do to a running box what its policy lets you, after it was verified",
		Long: `Do something to the app of a running box, if the box's policy names you as an
operator who may:

  restart           end the app and start it again
  exec -- COMMAND   run a command beside the app; its exit code is that of this one
  shell             open a shell beside the app (/bin/sh, or -- COMMAND)
  debug             list the app's processes, then print what it prints, until Ctrl-C

The box is verified first, and what its policy lets operators do is printed. A
command has what the app has: its user, files, network and limits, and nothing
else. It ends with the connection.

The policy of a box that has operators is another policy, with another digest:
callers who accepted the box without them refuse it.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			want, err := operationOf(cmd, args)
			if err != nil {
				return err
			}
			return s.operate(cmd.Context(), want, o)
		},
	}
	addTrustFlag(cmd, &o.trust)
	addKeyFlag(cmd, &o.keyFile)
	addCertFlags(cmd, &o.cert)
	f := cmd.Flags()
	f.StringVar(&o.tokenFile, "token-file", "", "file with a token of an identity provider, instead of an API key")
	f.BoolVarP(&o.silent, "silent", "s", false, "do not print the verdict")
	f.DurationVar(&o.timeout, "timeout", client.DefaultTimeout, "how long to wait for a verdict")
	return cmd
}

// operation is what somebody wants done, and where.
type operation struct {
	address string
	what    policy.Operation
	command []string
}

func operationOf(cmd *cobra.Command, args []string) (operation, error) {
	dash := cmd.ArgsLenAtDash()
	var command []string
	if dash >= 0 {
		args, command = args[:dash], args[dash:]
	}
	if len(args) != 2 {
		return operation{}, usageOf(cmd, "operate needs one URL and one of restart, exec, shell, debug, got %d arguments before --", len(args))
	}
	want := operation{address: args[0], what: policy.Operation(args[1]), command: command}
	switch {
	case !slices.Contains(policy.Operations(), want.what):
		return operation{}, usageOf(cmd, "%q is nothing that operators do, expected restart, exec, shell or debug", args[1])
	case want.what == policy.OpExec && len(command) == 0:
		return operation{}, usageOf(cmd, "exec needs a command: blindbox operate URL exec -- COMMAND")
	case (want.what == policy.OpRestart || want.what == policy.OpDebug) && len(command) > 0:
		return operation{}, usageOf(cmd, "%s takes no command", want.what)
	}
	if _, err := operate.Command(command); err != nil {
		return operation{}, usageOf(cmd, "%v", err)
	}
	return want, nil
}

func (s *session) operate(ctx context.Context, want operation, o operateOptions) error {
	if s.json() && want.what != policy.OpRestart {
		return usage("-o json with %s, which prints what it gets as it comes", want.what)
	}
	u, err := boxURL(want.address)
	if err != nil {
		return err
	}
	trust, err := s.loadTrust(o.trust, false)
	if err != nil {
		return err
	}
	key, err := s.operatorKey(o)
	if err != nil {
		return err
	}
	opts, done, err := s.withFloors(client.WithTimeout(o.timeout), client.WithClock(s.now))
	if err != nil {
		return err
	}
	defer done()
	if opts, err = s.withCertificate(o.cert, opts); err != nil {
		return err
	}
	c, err := client.New(trust, opts...)
	if err != nil {
		return usage("%v", err)
	}
	defer c.Close()
	v, took, err := verifyWith(ctx, c, u)
	if err != nil {
		return err
	}
	if v.err != nil {
		return s.conclude(v, took, detail{})
	}
	if !o.silent {
		s.note("%s\n", v.conclusion(took))
	}
	if err := s.mayOperate(v.policy, key, want.what, o.silent); err != nil {
		return err
	}
	return s.operateOn(ctx, c, v, u, key, want)
}

// operatorKey is what the operator shows.
func (s *session) operatorKey(o operateOptions) (string, error) {
	if o.tokenFile == "" {
		return s.apiKey(o.keyFile)
	}
	if o.keyFile != "" {
		return "", usage("give --api-key-file or --token-file, not both")
	}
	const most = 16 << 10
	text, err := s.readFile(o.tokenFile, most)
	if err != nil {
		return "", err
	}
	token := strings.TrimRight(string(text), "\r\n")
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fail(catalogue.CodeKeyFile, "token", o.tokenFile+" holds no token", "one line of printable characters")
	}
	return token, nil
}

// mayOperate says who the user is to the box, as far as the policy that was verified
// tells, and asks for nothing that the box will refuse.
func (s *session) mayOperate(p *policy.Policy, key string, what policy.Operation, silent bool) error {
	if p == nil {
		return nil
	}
	if !slices.Contains(p.Operations(), what) {
		return fail(catalogue.CodeBoxDenied, "policy", "the box's policy lets no operator "+string(what), "")
	}
	who, known := p.ForOperators().Authenticate(key)
	if !known {
		if slices.ContainsFunc(p.Operators, func(o policy.Operator) bool { return o.APIKey == nil }) {
			return nil // it may be a token, or a certificate
		}
		return fail(catalogue.CodeBoxCaller, "policy", "no operator of the box's policy has your API key", "")
	}
	o, _ := p.Operator(who.Name)
	if !slices.Contains(o.May, what) {
		return fail(catalogue.CodeBoxDenied, "policy", "the operator "+o.Name+" may not "+string(what), "")
	}
	if !silent {
		s.note("  operator   %s, line %d of the box's policy\n", o.Name, o.Line)
	}
	return nil
}

// operateOn sends the request, and does what follows.
func (s *session) operateOn(ctx context.Context, c *client.Client, v verdict, u *url.URL, key string, want operation) error {
	// The request is over when its stream is.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	at := *u
	at.Path, at.RawQuery = policy.ReservedPrefix+"/operate/"+string(want.what), ""
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), nil)
	if err != nil {
		return usage("%v", err)
	}
	req.Header.Set("User-Agent", "blindbox")
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if want.what != policy.OpRestart {
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", operate.Protocol)
	}
	began := time.Now()
	res, err := c.RoundTrip(req)
	if err != nil {
		return requestRefusal(err)
	}
	defer res.Body.Close()
	switch {
	case want.what == policy.OpRestart && res.StatusCode == http.StatusOK:
		if s.json() {
			return s.concludeJSON(v, map[string]any{"restarted": true})
		}
		s.printf("restarted  the app accepts connections again after %s\n", duration(time.Since(began)))
		return nil
	case want.what != policy.OpRestart && res.StatusCode == http.StatusSwitchingProtocols:
		conn, ok := res.Body.(io.ReadWriteCloser)
		if !ok {
			return fail(catalogue.CodeInternal, "internal", "an upgrade without a connection", "")
		}
		return s.follow(ctx, conn, want)
	}
	return answerRefusal(res)
}

// answerRefusal is what the box says to a request that it does not answer.
func answerRefusal(res *http.Response) error {
	const most = 64 << 10
	var problem struct {
		Detail string `json:"detail"`
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, most))
	r := statusRefusal(res)
	if err == nil && json.Unmarshal(text, &problem) == nil && problem.Detail != "" {
		r.seen += ": " + problem.Detail
	}
	return r
}
