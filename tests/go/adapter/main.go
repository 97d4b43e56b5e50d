// A metrics adapter: gives autoscalers what gateways show at /metrics, summed over them, as the external metrics API.
// Source: https://github.com/kubernetes/metrics/blob/master/pkg/apis/external_metrics/v1beta1/types.go, read 2026-11-25.
//
// Usage: adapter LISTEN GATEWAY..., each HOST:PORT. Says `adapter HOST:PORT` once it listens, and ends with its standard input.
package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	groupVersion = "external.metrics.k8s.io/v1beta1"
	timeout      = 5 * time.Second
	// Calls are short, and an autoscaler looks every 15 s: the highest of some looks is what it is told.
	looks    = 40
	interval = 25 * time.Millisecond
)

type object = map[string]any

func main() {
	listener, err := tls.Listen("tcp", os.Args[1], &tls.Config{Certificates: []tls.Certificate{certificate()}})
	if err != nil {
		fail("listening", err)
	}
	fmt.Println("adapter", listener.Addr())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	gateways := os.Args[2:]
	http.HandleFunc("GET /apis/"+groupVersion, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, object{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": groupVersion, "resources": []any{}})
	})
	http.HandleFunc("GET /apis/"+groupVersion+"/namespaces/{namespace}/{metric}", func(w http.ResponseWriter, r *http.Request) {
		metric, labels := r.PathValue("metric"), object{}
		for _, label := range strings.Split(r.URL.Query().Get("labelSelector"), ",") {
			if name, value, found := strings.Cut(label, "="); found {
				labels[name] = value
			}
		}
		highest := int64(0)
		for range looks {
			sum, err := total(gateways, metric, labels)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			highest = max(highest, sum)
			time.Sleep(interval)
		}
		now := time.Now().UTC().Format(time.RFC3339)
		value := object{"metricName": metric, "metricLabels": labels, "timestamp": now, "value": strconv.FormatInt(highest, 10)}
		answer(w, object{"kind": "ExternalMetricValueList", "apiVersion": groupVersion, "metadata": object{}, "items": []any{value}})
	})
	fail("serving", http.Serve(listener, nil))
}

// Sums a metric with these labels over the gateways.
func total(gateways []string, metric string, labels object) (int64, error) {
	client, sum := http.Client{Timeout: timeout}, 0.0
	for _, gateway := range gateways {
		page, err := client.Get("http://" + gateway + "/metrics")
		if err != nil {
			return 0, err
		}
		lines := bufio.NewScanner(page.Body)
		for lines.Scan() {
			series, value, _ := strings.Cut(lines.Text(), "} ")
			shown, ours := strings.CutPrefix(series, metric+"{")
			for name, value := range labels {
				ours = ours && strings.Contains(","+shown+",", fmt.Sprintf(",%s=%q,", name, value))
			}
			if number, err := strconv.ParseFloat(value, 64); ours && err == nil {
				sum += number
			}
		}
		page.Body.Close()
		if err := lines.Err(); err != nil {
			return 0, err
		}
	}
	return int64(sum), nil
}

func answer(w http.ResponseWriter, value object) {
	w.Header().Set("content-type", "application/json")
	json.NewEncoder(w).Encode(value)
}

// One that nobody signed: the APIService of the test takes any.
func certificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		fail("making a key", err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		fail("making a certificate", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func fail(what string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	os.Exit(1)
}
