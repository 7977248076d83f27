//! HTTP over the ports: uploads, videos, search
