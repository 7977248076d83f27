//! COCO's 80 classes in the words of Rekognition's label taxonomy.

/// A kind of thing and what it is a kind of, nearest first.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) parents: &'static [&'static str],
}

const fn kind(name: &'static str, parents: &'static [&'static str]) -> Kind {
    Kind { name, parents }
}

const VEHICLE: &[&str] = &["Vehicle", "Transportation"];
const PET: &[&str] = &["Pet", "Mammal", "Animal"];
const LIVESTOCK: &[&str] = &["Livestock", "Mammal", "Animal"];
const WILDLIFE: &[&str] = &["Wildlife", "Mammal", "Animal"];
const SPORT: &[&str] = &["Sport"];
const CUTLERY: &[&str] = &["Cutlery"];
const FRUIT: &[&str] = &["Fruit", "Plant", "Produce", "Food"];
const VEGETABLE: &[&str] = &["Vegetable", "Plant", "Produce", "Food"];
const FURNITURE: &[&str] = &["Furniture"];
const ELECTRONICS: &[&str] = &["Electronics"];
const APPLIANCE: &[&str] = &["Appliance", "Electrical Device"];

/// In the order of the model's scores.
pub(crate) static COCO: [Kind; 80] = [
    kind("Person", &[]),
    kind("Bicycle", VEHICLE),
    kind("Car", VEHICLE),
    kind("Motorcycle", VEHICLE),
    kind("Airplane", &["Aircraft", "Vehicle", "Transportation"]),
    kind("Bus", VEHICLE),
    kind("Train", VEHICLE),
    kind("Truck", VEHICLE),
    kind("Boat", &["Watercraft", "Vehicle", "Transportation"]),
    kind("Traffic Light", &["Light"]),
    kind("Fire Hydrant", &["Hydrant"]),
    kind("Stopsign", &["Road Sign", "Sign", "Symbol"]),
    kind("Parking Meter", &["Machine"]),
    kind("Bench", FURNITURE),
    kind("Bird", &["Animal"]),
    kind("Cat", PET),
    kind("Dog", &["Canine", "Pet", "Mammal", "Animal"]),
    kind("Horse", &["Mammal", "Animal"]),
    kind("Sheep", LIVESTOCK),
    kind("Cow", &["Cattle", "Livestock", "Mammal", "Animal"]),
    kind("Elephant", WILDLIFE),
    kind("Bear", WILDLIFE),
    kind("Zebra", WILDLIFE),
    kind("Giraffe", WILDLIFE),
    kind("Backpack", &["Bag"]),
    kind("Umbrella", &["Canopy"]),
    kind("Handbag", &["Bag", "Accessories"]),
    kind("Tie", &["Accessories", "Formal Wear"]),
    kind("Suitcase", &["Luggage", "Baggage"]),
    kind("Frisbee", &["Toy"]),
    kind("Skis", &["Sport", "Outdoors"]),
    kind("Snowboard", &["Sport", "Outdoors"]),
    kind("Sports Ball", &["Ball", "Sport"]),
    kind("Kite", &["Toy"]),
    kind("Baseball Bat", &["Baseball", "Sport"]),
    kind("Baseball Glove", &["Baseball", "Glove", "Sport", "Clothing"]),
    kind("Skateboard", SPORT),
    kind("Surfboard", &["Sport", "Water", "Outdoors"]),
    kind("Tennis Racket", &["Racket", "Tennis", "Sport"]),
    kind("Bottle", &[]),
    kind("Wine Glass", &["Glass", "Beverage"]),
    kind("Cup", &[]),
    kind("Fork", CUTLERY),
    kind("Knife", &["Cutlery", "Blade"]),
    kind("Spoon", CUTLERY),
    kind("Bowl", &[]),
    kind("Banana", FRUIT),
    kind("Apple", FRUIT),
    kind("Sandwich", &["Food"]),
    kind("Orange", &["Citrus Fruit", "Fruit", "Plant", "Produce", "Food"]),
    kind("Broccoli", VEGETABLE),
    kind("Carrot", VEGETABLE),
    kind("Hot Dog", &["Food"]),
    kind("Pizza", &["Food"]),
    kind("Donut", &["Sweets", "Food"]),
    kind("Cake", &["Dessert", "Food"]),
    kind("Chair", FURNITURE),
    kind("Couch", FURNITURE),
    kind("Potted Plant", &["Plant"]),
    kind("Bed", FURNITURE),
    kind("Dining Table", &["Table", "Furniture"]),
    kind("Toilet", &["Bathroom", "Indoors"]),
    kind("Tv", &["Monitor", "Screen", "Electronics"]),
    kind("Laptop", &["Computer", "Pc", "Electronics"]),
    kind("Mouse", &["Computer Hardware", "Hardware", "Electronics"]),
    kind("Remote Control", ELECTRONICS),
    kind("Computer Keyboard", &["Computer Hardware", "Hardware", "Electronics"]),
    kind("Mobile Phone", &["Phone", "Electronics"]),
    kind("Microwave", &["Oven", "Appliance", "Electrical Device"]),
    kind("Oven", APPLIANCE),
    kind("Toaster", APPLIANCE),
    kind("Sink", &[]),
    kind("Refrigerator", APPLIANCE),
    kind("Book", &["Publication"]),
    kind("Clock", &[]),
    kind("Vase", &["Pottery", "Jar"]),
    kind("Scissors", &["Tool"]),
    kind("Teddy Bear", &["Toy"]),
    kind("Hair Dryer", APPLIANCE),
    kind("Toothbrush", &["Brush", "Tool"]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_class_has_a_name_of_its_own_and_is_not_its_own_parent() {
        let names: BTreeSet<&str> = COCO.iter().map(|k| k.name).collect();
        assert_eq!(names.len(), COCO.len());
        assert!(COCO.iter().all(|k| !k.parents.contains(&k.name)));
    }

    #[test]
    fn the_order_is_that_of_the_model() {
        for (class, name) in [(0, "Person"), (27, "Tie"), (39, "Bottle"), (67, "Mobile Phone")] {
            assert_eq!(COCO[class].name, name);
        }
        assert_eq!(COCO[2].parents, ["Vehicle", "Transportation"]);
        assert_eq!(COCO[27].parents, ["Accessories", "Formal Wear"]);
    }
}
