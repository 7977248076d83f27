//! Whose face is it? dlib's face recognition network (Davis King, `dlib_face_recognition_resnet`)
//! turns an aligned face into 128 numbers; the Euclidean distance tells people apart.

use crate::{
    Models, VisionError,
    alignment::{Similarity, TEMPLATE, TEMPLATE_SIDE as SIDE, draw},
    models::{DLIB, Net},
    picture::check,
};
use media::RgbImage;

/// A face in 128 numbers.
pub type Embedding = [f32; 128];

/// Two embeddings nearer than this are taken for the same person.
pub const SAME_PERSON: f32 = 0.6;

/// A face larger than the template is averaged over at most this many samples a side.
const MOST_SAMPLES: usize = 8;

/// The Euclidean distance of two faces: 0.1 to 0.5 for one person, 0.65 and more for two.
pub fn distance(a: &Embedding, b: &Embedding) -> f32 {
    a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f32>().sqrt()
}

/// dlib's network on its own session; one per thread that compares faces.
#[derive(Debug)]
pub struct FaceEmbedder {
    net: Net,
    planes: Vec<f32>,
}

impl FaceEmbedder {
    /// An embedder whose inference uses `threads` threads.
    ///
    /// # Errors
    /// `Inference` when ONNX Runtime does not take the weights.
    pub fn new(models: &Models, threads: usize) -> Result<Self, VisionError> {
        Ok(Self { net: models.net(DLIB, threads)?, planes: Vec::new() })
    }

    /// The embedding of the face with these landmarks (as in [`FaceBox`](crate::FaceBox),
    /// relative to the picture).
    ///
    /// # Errors
    /// `NotAPicture`, or `Inference` when the model does not run.
    pub fn embed(
        &mut self,
        picture: &RgbImage,
        landmarks: &[(f32, f32); 5],
    ) -> Result<Embedding, VisionError> {
        check(picture)?;
        let (width, height) = (picture.width as f32, picture.height as f32);
        let points = landmarks.map(|(x, y)| (x * width, y * height));
        self.align(picture, Similarity::between(&points, &TEMPLATE));
        self.net.run(&self.planes, (SIDE, SIDE), |outputs| {
            let mut embedding = [0.0; 128];
            embedding.copy_from_slice(&outputs.first(128)?[..128]);
            Ok(embedding)
        })
    }

    /// Fills the planes with the face, turned and scaled onto the template, red first, 0 to 255:
    /// the graph takes off the mean of the training pictures itself.
    fn align(&mut self, picture: &RgbImage, onto_template: Similarity) {
        let area = SIDE * SIDE;
        self.planes.clear();
        self.planes.resize(3 * area, 0.0);
        draw(picture, onto_template, SIDE, MOST_SAMPLES, &mut |pixel, colour| {
            for (channel, value) in colour.into_iter().enumerate() {
                self.planes[channel * area + pixel] = value;
            }
        });
    }
}
