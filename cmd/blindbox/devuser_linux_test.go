package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/blindbox/blindbox/appraise"
	"github.com/blindbox/blindbox/client"
)

// TestDevImageWithoutRoot: an app from an image runs for a developer who is not root,
// without a way out, and the banner has each line of the policy that is not enforced.
func TestDevImageWithoutRoot(t *testing.T) {
	file := imagePolicy(t, "egress: {allow: [{host: a.example, port: 443}]}\nfiles: {tmp: 1MiB}\nlimits: {memory: 1GiB, pids: 100, cpu: 1}\n")
	const nobody = 65534
	dir := filepath.Dir(file)
	program := filepath.Join(dir, "blindbox")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	// Nobody else may look into the folder that this program is in.
	if out, err := exec.Command("cp", self, program).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, nobody, nobody)
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "dev", "-o", "json", "--listen", "127.0.0.1:0", "-f", file)
	cmd.Env = []string{"BLINDBOX_HOME=" + filepath.Join(dir, "home"), "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var d running
	if err := json.NewDecoder(out).Decode(&d.document); err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	stop := func() {
		cmd.Process.Signal(syscall.SIGTERM)
		go io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, stderr.String())
		}
	}
	defer stop()
	less := fmt.Sprint(d.document["not_enforced"])
	for _, line := range []string{"app.user", "limits.memory", "limits.pids", "limits.cpu"} {
		if !strings.Contains(less, line) {
			t.Errorf("not enforced: %s, expected %s", less, line)
		}
	}
	text, err := os.ReadFile(d.text(t, "trust"))
	if err != nil {
		t.Fatal(err)
	}
	trust, err := appraise.ParseTrust(text)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(trust)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for path, want := range map[string]string{
		"/here": "hello anyone", "/lookup?with=a.example": "REACHED: 198.18.", "/lookup?with=b.example": "no such host", "/dial?with=tcp+1.1.1.1:443": "network is unreachable", "/fill?with=/elsewhere": "read-only file system", "/fill?with=/tmp/x": "no space",
	} {
		resp, err := c.HTTP().Get(d.text(t, "url") + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s, %v, expected %s", path, body, err, want)
		}
	}
}
