//! The local detector and the server that speaks Rekognition's wire protocol
