package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/blindbox/blindbox/endorse/mirror"
	"github.com/blindbox/blindbox/internal/catalogue"
)

func newEndorsementsServe(s *session) *cobra.Command {
	var dir, listen string
	var everywhere bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the cache to machines that cannot reach the vendors",
		Long: `Serve the cache under the vendors' own paths. Another blindbox uses it with
--endorsements-from http://HOST:PORT, a box with the same flag of boxd. It need not
be trusted: all it serves is signed by the vendors, and whoever fetches verifies.
It fetches nothing by itself.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.endorsementsServe(cmd.Context(), dir, listen, everywhere)
		},
	}
	addCacheFlag(cmd, &dir)
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8460", "the `address` to listen on")
	cmd.Flags().BoolVar(&everywhere, "allow-network", false, "allow an address that is not this machine's own")
	return cmd
}

func (s *session) endorsementsServe(ctx context.Context, dir, listen string, everywhere bool) error {
	if err := checkListen(listen, everywhere); err != nil {
		return err
	}
	d, err := s.openCache(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	h, err := mirror.New(d)
	if err != nil {
		return err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return fail(catalogue.CodeListen, "listen", err.Error(), "a free port")
	}
	srv := mirror.NewServer(h)
	stop := context.AfterFunc(ctx, func() {
		late, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = srv.Shutdown(late)
		_ = srv.Close()
	})
	defer stop()
	if s.json() {
		s.writeJSON(map[string]string{"mirror": "http://" + ln.Addr().String()})
	}
	s.printf("  mirror     http://%s\n", ln.Addr())
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fail(catalogue.CodeListen, "listen", err.Error(), "")
	}
	return nil
}

// checkListen keeps the mirror on this machine unless it was told otherwise.
func checkListen(address string, everywhere bool) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return usage("--listen %q, expected HOST:PORT", address)
	}
	if ip := net.ParseIP(host); !everywhere && (ip == nil || !ip.IsLoopback()) {
		return usage("--listen %s is not this machine alone, expected 127.0.0.1 or [::1], or --allow-network", address)
	}
	return nil
}
